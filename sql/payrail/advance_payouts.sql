-- Promises: what is due of one merchant and is no bank's business is done: a scheduled payout whose time has come goes on, one whose
-- time to be approved is over expires, and so does one that was in the queue for too long; what waits in the queue gets the money
-- that is there. At most p_limit of them. Returns how many were due.
-- Lock: the merchant's.
-- Raises: PR111 the limit is out of bounds, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.advance_payouts(p_merchant_id uuid, p_limit integer DEFAULT 100, p_actor text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.claim_payouts
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_now timestamptz;
    v_payout payout.payouts;
    v_due integer := 0;
    v_is_pending boolean := FALSE;
BEGIN
    IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'limit', 'minimum', 1, 'maximum', 1000);
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);
    v_now := rail.clock();

    FOR v_payout IN
        SELECT p.*
        FROM payout.payouts p
        WHERE
            p.merchant_id = p_merchant_id
            AND p.status IN ('awaiting_approval', 'scheduled', 'queued')
            AND p.next_action_at <= v_now
        ORDER BY p.next_action_at, p.payout_id
        LIMIT p_limit
    LOOP
        v_due := v_due + 1;
        IF v_payout.status = 'scheduled' THEN
            v_is_pending := payout.start_scheduled(p_merchant_id, v_payout, payrail.actor(p_actor), v_now) = 'pending' OR v_is_pending;
        ELSIF v_payout.expires_at <= v_now THEN
            UPDATE payout.payouts p
            SET
                status = 'expired',
                next_action_at = NULL,
                actor = payrail.actor(p_actor),
                reason = CASE v_payout.status WHEN 'queued' THEN 'no money came in time' ELSE 'nobody approved it in time' END
            WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_payout.payout_id;
        ELSE
            -- the queue goes on below
            UPDATE payout.payouts p
            SET next_action_at = p.expires_at
            WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_payout.payout_id;
        END IF;
    END LOOP;

    v_is_pending := payout.promote_queued(p_merchant_id, payrail.actor(p_actor), v_now) OR v_is_pending;
    IF v_is_pending THEN
        PERFORM rail.wake_worker();
    END IF;
    RETURN v_due;
END
$$;

COMMENT ON FUNCTION payrail.advance_payouts IS
'Does what is due of a merchant and needs no bank: scheduled payouts whose time has come, approvals and queued payouts that expire, the queue.';
