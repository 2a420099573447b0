-- Promises: payouts whose outcome is unknown stay processing, keep their money held, and are asked about again
-- later: after 1 s, 2 s, 4 s … up to 10 minutes, by a factor between 0.75 and 1.25. However often that is, it
-- never fails a payout.
-- Lock: the merchant's.
-- Raises: PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.postpone_payouts(
    p_merchant_id uuid, p_payout_ids uuid[], p_reason text DEFAULT NULL
)
RETURNS TABLE (payout_id uuid, next_action_at timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_attempts integer;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);

    FOR payout_id, v_attempts IN
        SELECT p.payout_id, p.attempts
        FROM payout.payouts p
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = ANY(p_payout_ids) AND p.status = 'processing'
        ORDER BY p.payout_id
    LOOP
        next_action_at := clock_timestamp()
            + least(power(2, least(v_attempts, 30) - 1), 600) * (0.75 + random() / 2) * INTERVAL '1 second';
        UPDATE payout.payouts p
        SET
            next_action_at = postpone_payouts.next_action_at,
            unknown_reason = left(coalesce(p_reason, 'the bank has not given a final answer'), 500)
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = postpone_payouts.payout_id;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.postpone_payouts IS
'Keeps payouts whose outcome is unknown in processing and asks the bank again later, with backoff and jitter.';
