-- Promises: whether a payout carries what its status must be able to show, and nothing that belongs to another: an open
-- one when to act next, one that waits for an approval or in the queue until when, a pending one that it is held, a processing one
-- its lease, a settled one the bank's reference and when, a failed one why, a returned one all of a settled one and why it came
-- back. (One that has ended is due again when the bank has more to say of it.) Held by the trigger payout.apply_transition.
CREATE OR REPLACE FUNCTION payout.has_its_proof(
    p_status text,
    p_next_action_at timestamptz,
    p_send_before timestamptz,
    p_settled_at timestamptz,
    p_utr text,
    p_failure_code text,
    p_returned_at timestamptz,
    p_return_code text,
    p_held_at timestamptz,
    p_scheduled_at timestamptz,
    p_expires_at timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    CASE p_status
        WHEN 'pending' THEN
            RETURN (p_next_action_at, p_held_at) IS NOT NULL
                AND (p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'processing' THEN
            RETURN (p_next_action_at, p_send_before, p_held_at) IS NOT NULL
                AND (p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'settled' THEN
            RETURN (p_settled_at, p_utr, p_held_at) IS NOT NULL
                AND (p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'failed' THEN
            RETURN p_failure_code IS NOT NULL
                AND (p_settled_at, p_utr, p_returned_at, p_return_code) IS NULL;
        WHEN 'returned' THEN
            RETURN (p_settled_at, p_utr, p_held_at, p_returned_at, p_return_code) IS NOT NULL
                AND p_failure_code IS NULL;
        WHEN 'awaiting_approval' THEN
            RETURN (p_next_action_at, p_expires_at) IS NOT NULL
                AND (p_send_before, p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'queued' THEN
            RETURN (p_next_action_at, p_expires_at) IS NOT NULL
                AND (p_held_at, p_send_before, p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'scheduled' THEN
            RETURN (p_next_action_at, p_scheduled_at) IS NOT NULL
                AND (p_held_at, p_send_before, p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        WHEN 'cancelled', 'rejected', 'expired' THEN
            RETURN (p_settled_at, p_utr, p_failure_code, p_returned_at, p_return_code) IS NULL;
        ELSE
            RETURN FALSE;
    END CASE;
END
$$;
