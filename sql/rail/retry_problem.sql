-- Promises: why p_retry_of can not be paid again by a new payout, in words; NULL if it can: it is a payout of this merchant, it has ended
-- and did not pay, as far as anybody knows: its bank has neither said since that it did nor booked it, nor are people finding out. And no
-- other payout is its retry.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.retry_problem(p_merchant_id uuid, p_retry_of uuid)
RETURNS text
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_status text;
    v_retry uuid;
BEGIN
    SELECT p.status INTO v_status
    FROM payout.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_retry_of;
    SELECT p.payout_id INTO v_retry
    FROM payout.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.retry_of = p_retry_of;

    RETURN CASE
        WHEN v_status IS NULL THEN 'there is no such payout'
        WHEN v_status NOT IN ('failed', 'returned', 'cancelled', 'rejected', 'expired')
            THEN format('that payout is %s: what may still be paid, or was, is not paid again', v_status)
        WHEN EXISTS (
            SELECT
            FROM rail.cases c
            WHERE c.merchant_id = p_merchant_id AND c.payout_id = p_retry_of AND c.closed_at IS NULL
        ) THEN 'what became of that payout is being looked into'
        -- what came back was paid before, and is not any more
        WHEN v_status <> 'returned' AND EXISTS (
            SELECT
            FROM rail.evidence e
            WHERE e.merchant_id = p_merchant_id AND e.payout_id = p_retry_of AND e.outcome = 'paid'
        ) THEN 'the bank has said since that it has paid that payout'
        WHEN v_status <> 'returned' AND EXISTS (
            SELECT
            FROM rail.report_lines l
            WHERE l.rail_ref = replace(p_retry_of::text, '-', '') AND l.kind = 'payment'
        ) THEN 'the bank has booked that payout as paid'
        WHEN v_retry IS NOT NULL THEN format('that payout was retried already, by %s', v_retry)
    END;
END
$$;
