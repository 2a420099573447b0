-- Promises: a payout that no worker has claimed yet is cancelled, and its money available again, if it was held; what waits in the
-- queue gets what it can of it. One already cancelled stays as it is.
-- Lock: the merchant's.
-- Raises: PR201 a worker has claimed it or it has ended, PR401, PR402, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.cancel_payout(
    p_merchant_id uuid, p_payout_id uuid, p_reason text DEFAULT NULL, p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.payouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz;
BEGIN
    PERFORM payout.lock_payout(p_merchant_id, p_payout_id);
    v_now := rail.clock();

    UPDATE payout.payouts p
    SET
        status = 'cancelled',
        next_action_at = NULL,
        actor = payrail.actor(p_actor),
        reason = left(p_reason, 500)
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id AND p.status <> 'cancelled';
    IF payout.promote_queued(p_merchant_id, payrail.actor(p_actor), v_now) THEN
        PERFORM rail.wake_worker();
    END IF;

    RETURN QUERY
    SELECT p.*
    FROM payrail.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
END
$$;

COMMENT ON FUNCTION payrail.cancel_payout IS
'Cancels a payout that no worker has claimed yet and releases its money. Repeating it changes nothing.';
