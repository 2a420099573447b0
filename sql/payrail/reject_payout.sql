-- Promises: a payout that awaits approval is rejected, by this person and for this reason, and its money available again, if it was
-- held; what waits in the queue gets what it can of it. Said again by the same person: no effect.
-- Lock: the merchant's.
-- Raises: PR111 no approver or no reason, PR201 it does not await approval, PR251 too late, PR401, PR402, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.reject_payout(
    p_merchant_id uuid, p_payout_id uuid, p_approver text, p_reason text, p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.payouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_payout payout.payouts;
    v_now timestamptz;
BEGIN
    v_payout := payout.lock_payout(p_merchant_id, p_payout_id);
    v_now := rail.clock();

    IF payrail.decide_approval(p_merchant_id, v_payout, p_approver, 'rejected', left(p_reason, 500), p_actor, v_now) THEN
        UPDATE payout.payouts p
        SET
            status = 'rejected',
            next_action_at = NULL,
            actor = payrail.actor(p_actor),
            reason = left(p_reason, 500)
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
        IF payout.promote_queued(p_merchant_id, payrail.actor(p_actor), v_now) THEN
            PERFORM rail.wake_worker();
        END IF;
    END IF;

    RETURN QUERY
    SELECT p.*
    FROM payrail.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
END
$$;

COMMENT ON FUNCTION payrail.reject_payout IS
'Rejects a payout that awaits approval, for a reason, and releases its money. Repeating it changes nothing.';
