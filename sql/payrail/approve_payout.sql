-- Promises: this person has approved the payout; with the last approval that it needs it is pending, or scheduled if its time has not
-- come. One who has approved it already changes nothing.
-- Lock: the merchant's.
-- Raises: PR111 no approver, PR201 it does not await approval, PR251 too late, PR401, PR402, PR551 the one who asked for it, PR901,
-- PR902.
CREATE OR REPLACE FUNCTION payrail.approve_payout(
    p_merchant_id uuid, p_payout_id uuid, p_approver text, p_reason text DEFAULT NULL, p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.payouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_payout payout.payouts;
    v_now timestamptz;
    v_status text;
BEGIN
    v_payout := payout.lock_payout(p_merchant_id, p_payout_id);
    v_now := rail.clock();

    IF payrail.decide_approval(p_merchant_id, v_payout, p_approver, 'approved', left(p_reason, 500), p_actor, v_now) THEN
        IF v_payout.approvals_required <= (
            SELECT count(*)
            FROM payout.approvals a
            WHERE a.merchant_id = p_merchant_id AND a.payout_id = p_payout_id AND a.decision = 'approved'
        ) THEN
            v_status := CASE WHEN v_payout.held_at IS NULL THEN 'scheduled' ELSE 'pending' END;
            UPDATE payout.payouts p
            SET
                status = v_status,
                next_action_at = CASE v_status WHEN 'scheduled' THEN p.scheduled_at ELSE v_now END,
                expires_at = NULL,
                actor = payrail.actor(p_actor),
                reason = left(p_reason, 500)
            WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id
            RETURNING p.* INTO v_payout;
            -- approved after its time
            IF v_payout.status = 'scheduled' AND v_payout.scheduled_at <= v_now THEN
                v_status := payout.start_scheduled(p_merchant_id, v_payout, payrail.actor(p_actor), v_now);
            END IF;
            IF v_status = 'pending' THEN
                PERFORM rail.wake_worker();
            END IF;
        END IF;
    END IF;

    RETURN QUERY
    SELECT p.*
    FROM payrail.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
END
$$;

COMMENT ON FUNCTION payrail.approve_payout IS
'Approves a payout that awaits it; with the last approval needed it goes on. Who asked for it can not. Repeating it changes nothing.';
