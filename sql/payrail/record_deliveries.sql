-- Promises: what an endpoint said to a claim is logged. What was not delivered is tried again 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h,
-- 20 h and 24 h after the first attempt, or as late as the endpoint asked for, and then given up. Five failures in a row, and there is one
-- attempt a minute; the first success makes all that waits due. 410, or 24 h without a success, disables the endpoint, and an event says
-- so. What was claimed and is not among the results stays due. A claim is recorded once. Returns why it was disabled, or NULL.
-- Lock: the endpoint's row; the merchant's before it when the endpoint is to be disabled.
-- Raises: PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.record_deliveries(
    p_merchant_id uuid, p_endpoint_id uuid, p_claim bigint, p_results payrail.delivery_result[], p_actor text DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
    v_late double precision := 1 + random() / 10;
    v_schedule CONSTANT interval[] := '{0,5 s,5 min,30 min,2 h,5 h,10 h,14 h,20 h,24 h}';
    v_delivered bigint;
    v_failed bigint;
    v_is_gone boolean;
    v_pause interval;
    v_before webhook.endpoints;
    v_failures bigint;
    v_reason text;
BEGIN
    SELECT
        count(*) FILTER (WHERE r.delivered),
        count(*) FILTER (WHERE NOT r.delivered),
        bool_or(r.response_status = 410),
        max(r.retry_after)
    INTO v_delivered, v_failed, v_is_gone, v_pause
    FROM unnest(p_results) r;

    SELECT e.* INTO v_before
    FROM webhook.endpoints e
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id AND e.claim = p_claim;
    v_failures := CASE WHEN v_delivered > 0 THEN 0 ELSE v_before.failures + v_failed END;
    v_reason := CASE
        WHEN v_before.endpoint_id IS NULL OR v_before.disabled_at IS NOT NULL THEN NULL
        WHEN v_is_gone THEN 'gone'
        WHEN v_delivered = 0 AND v_failed > 0 AND v_before.failing_since <= v_now - v_schedule[10] THEN 'failing'
    END;
    -- before the endpoint's row, as every door that takes both
    IF v_reason IS NOT NULL THEN
        PERFORM merchant.lock_merchant(p_merchant_id);
    END IF;

    UPDATE webhook.endpoints e
    SET
        claim = e.claim + 1,
        failures = v_failures,
        failing_since = CASE WHEN v_delivered > 0 THEN NULL WHEN v_failed > 0 THEN coalesce(e.failing_since, v_now) ELSE e.failing_since END,
        succeeded_at = CASE WHEN v_delivered > 0 THEN v_now ELSE e.succeeded_at END,
        not_before = greatest(
            v_now + v_pause,
            CASE WHEN v_failures >= 5 THEN v_now + INTERVAL '1 minute' * v_late END
        )
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id AND e.claim = p_claim AND e.archived_at IS NULL;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    INSERT INTO webhook.attempts (
        merchant_id, endpoint_id, seq, attempted_at, delivered, response_status, took, error, body_head
    )
    SELECT
        p_merchant_id,
        p_endpoint_id,
        r.seq,
        r.attempted_at,
        r.delivered,
        r.response_status,
        r.took,
        left(r.error, 500),
        left(r.body_head, 1024)
    FROM unnest(p_results) r;

    UPDATE webhook.deliveries d
    SET
        -- what an endpoint that is disabled just now has never heard of waits for it to be enabled
        status = CASE WHEN r.delivered THEN 'delivered' WHEN d.attempts >= 9 AND v_reason IS NULL THEN 'failed' ELSE 'pending' END,
        attempts = d.attempts + 1,
        first_attempt_at = coalesce(d.first_attempt_at, v_now),
        next_attempt_at = CASE
            WHEN NOT r.delivered AND (d.attempts < 9 OR v_reason IS NOT NULL)
                THEN greatest(
                    coalesce(d.first_attempt_at, v_now) + v_schedule[d.attempts + 2] * v_late,
                    v_now + INTERVAL '5 s',
                    v_now + r.retry_after
                )
        END,
        delivered_at = CASE WHEN r.delivered THEN v_now END
    FROM unnest(p_results) r
    WHERE d.merchant_id = p_merchant_id AND d.endpoint_id = p_endpoint_id AND d.seq = r.seq AND d.status = 'pending';

    IF v_delivered > 0 AND v_before.failures >= 5 THEN
        UPDATE webhook.deliveries d
        SET next_attempt_at = v_now
        WHERE
            d.merchant_id = p_merchant_id
            AND d.endpoint_id = p_endpoint_id
            AND d.status = 'pending'
            AND d.next_attempt_at > v_now;
    END IF;

    IF v_reason IS NOT NULL THEN
        UPDATE webhook.endpoints e
        SET
            disabled_at = v_now,
            disabled_reason = v_reason
        WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id;
        PERFORM webhook.add_event(
            p_merchant_id,
            'endpoint.disabled',
            json_build_object('endpoint_id', p_endpoint_id, 'url', v_before.url, 'reason', v_reason),
            payrail.actor(p_actor)
        );
    END IF;
    RETURN v_reason;
END
$$;

COMMENT ON FUNCTION payrail.record_deliveries IS
'Logs what a webhook endpoint said to a claim, and decides what is tried again when. Returns why the endpoint was disabled, if it was.';
