-- Promises: whether the next thing to do with a due payout is to send it: it never was, or the bank, which executes no reference twice,
-- has just said that it never saw it.
CREATE OR REPLACE FUNCTION rail.is_to_be_sent(
    p_merchant_id uuid, p_payout_id uuid, p_status text, p_attempts integer, p_deduplicates_references boolean
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    IF p_status <> 'processing' THEN
        RETURN p_status = 'pending';
    END IF;
    RETURN p_deduplicates_references AND EXISTS (
        SELECT
        FROM rail.evidence e
        WHERE
            e.merchant_id = p_merchant_id
            AND e.payout_id = p_payout_id
            AND e.attempt = p_attempts
            AND e.outcome = 'not_found'
    );
END
$$;
