-- Promises: why p_retry_of can not be paid again by a new payout, in words; NULL if it can: it is a payout of this merchant, it has ended
-- and did not pay, and no other payout is its retry.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.retry_problem(p_merchant_id uuid, p_retry_of uuid)
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
        WHEN v_retry IS NOT NULL THEN format('that payout was retried already, by %s', v_retry)
    END;
END
$$;
