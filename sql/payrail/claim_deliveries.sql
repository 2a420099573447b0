-- Promises: what is to be sent to a webhook endpoint now, oldest event first, for one worker alone until p_lease is over: what was not
-- delivered by then is handed out again, with the same ids. An endpoint that failed five times in a row gets one at a time, a new one
-- rather than one that it has failed. The secrets are those to sign with.
-- Lock: the endpoint's row, not the merchant's: payouts never wait for webhooks. What is committed when it reads has no gaps, because a
-- merchant's events are committed in their order.
CREATE OR REPLACE FUNCTION payrail.claim_deliveries(
    p_merchant_id uuid, p_endpoint_id uuid, p_limit integer DEFAULT 50, p_lease interval DEFAULT '60 seconds'
)
RETURNS TABLE (claim bigint, url text, secrets text[], seq bigint, event_id text, payout_id uuid, body json)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
    v_endpoint webhook.endpoints;
    v_is_failing boolean;
    v_limit integer;
    v_room bigint;
    v_cursor bigint;
BEGIN
    UPDATE webhook.endpoints e
    SET
        claim = e.claim + 1,
        not_before = v_now + p_lease
    WHERE
        e.merchant_id = p_merchant_id
        AND e.endpoint_id = p_endpoint_id
        AND e.archived_at IS NULL
        AND e.disabled_at IS NULL
        AND (e.not_before IS NULL OR e.not_before <= v_now)
    RETURNING e.* INTO v_endpoint;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_is_failing := v_endpoint.failures >= 5;
    v_limit := CASE WHEN v_is_failing THEN 1 ELSE p_limit END;

    SELECT v_limit - count(*) INTO v_room
    FROM webhook.deliveries d
    WHERE
        d.merchant_id = p_merchant_id
        AND d.endpoint_id = p_endpoint_id
        AND d.status = 'pending'
        AND d.next_attempt_at <= v_now
        AND (d.attempts = 0 OR NOT v_is_failing);

    WITH next AS (
        SELECT
            v.seq,
            webhook.wants(p_endpoint_id, v_endpoint.event_types, v.type, v.data) AS is_wanted
        FROM payrail.events v
        WHERE v.merchant_id = p_merchant_id AND v.seq > v_endpoint.cursor
        ORDER BY v.seq
        LIMIT 1000
    ),
    numbered AS (
        SELECT
            n.seq,
            n.is_wanted,
            count(*) FILTER (WHERE n.is_wanted) OVER (ORDER BY n.seq) AS nth
        FROM next n
    ),
    queued AS (
        INSERT INTO webhook.deliveries (merchant_id, endpoint_id, seq, queued_at, next_attempt_at)
        SELECT
            p_merchant_id,
            p_endpoint_id,
            n.seq,
            v_now,
            v_now
        FROM numbered n
        WHERE n.is_wanted AND n.nth <= v_room
        ON CONFLICT DO NOTHING
    )
    SELECT max(n.seq) INTO v_cursor
    FROM numbered n
    WHERE n.nth <= v_room;

    UPDATE webhook.endpoints e
    SET cursor = v_cursor
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id AND e.cursor < v_cursor;

    RETURN QUERY
    SELECT
        v_endpoint.claim,
        v_endpoint.url,
        CASE
            WHEN v_endpoint.previous_until > v_now THEN ARRAY[v_endpoint.secret, v_endpoint.previous_secret]
            ELSE ARRAY[v_endpoint.secret]
        END,
        v.seq,
        v.event_id,
        v.payout_id,
        payrail.event_json(v)
    FROM (
        SELECT d.seq
        FROM webhook.deliveries d
        WHERE
            d.merchant_id = p_merchant_id
            AND d.endpoint_id = p_endpoint_id
            AND d.status = 'pending'
            AND d.next_attempt_at <= v_now
        ORDER BY v_is_failing AND d.attempts > 0, d.seq
        LIMIT v_limit
    ) q
    INNER JOIN payrail.events v ON v.merchant_id = p_merchant_id AND q.seq = v.seq
    ORDER BY v.seq;
    IF NOT FOUND THEN
        UPDATE webhook.endpoints e
        SET not_before = NULL
        WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id;
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.claim_deliveries IS
'Hands out to one worker what is to be sent to a webhook endpoint: address, secrets, and per event its id and body.';
