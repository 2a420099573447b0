-- Promises: whether a payout carries what its status must be able to show, and nothing that belongs to another: an open
-- one when to act next, a processing one its lease, a settled one the bank's reference and when, a failed one the bank's
-- final no, a returned one all of a settled one and why it came back. (One that has ended is due again when the bank has more
-- to say of it.) Held by the trigger payout.apply_transition.
CREATE OR REPLACE FUNCTION payout.has_its_proof(
    p_status text,
    p_next_action_at timestamptz,
    p_send_before timestamptz,
    p_settled_at timestamptz,
    p_utr text,
    p_failure_code text,
    p_returned_at timestamptz,
    p_return_code text
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    CASE p_status
        WHEN 'pending' THEN
            RETURN p_next_action_at IS NOT NULL
                AND (p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'processing' THEN
            RETURN (p_next_action_at, p_send_before) IS NOT NULL
                AND (p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'settled' THEN
            RETURN (p_settled_at, p_utr) IS NOT NULL
                AND (p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'failed' THEN
            RETURN p_failure_code IS NOT NULL
                AND (p_settled_at, p_utr, p_returned_at, p_return_code) IS NULL;
        WHEN 'cancelled' THEN
            RETURN (p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'returned' THEN
            RETURN (p_settled_at, p_utr, p_returned_at, p_return_code) IS NOT NULL
                AND p_failure_code IS NULL;
        ELSE
            RETURN FALSE;
    END CASE;
END
$$;
