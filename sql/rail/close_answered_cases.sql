-- Promises: a case that asked what became of a payout is closed when the bank has told.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.close_answered_cases(
    p_merchant_id uuid, p_payout_id uuid, p_outcome text, p_actor text, p_now timestamptz
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE rail.cases c
    SET
        closed_at = p_now,
        closed_by = p_actor,
        resolution = 'The bank has answered: ' || p_outcome || '.'
    WHERE
        c.merchant_id = p_merchant_id
        AND c.payout_id = p_payout_id
        AND c.closed_at IS NULL
        AND c.kind IN ('outcome_unknown', 'different_outcome');
END
$$;
