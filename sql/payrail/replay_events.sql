-- Promises: the events with these numbers that the endpoint has seen go by are sent to it again, or for the first time: of several those of
-- its types, a single one whatever its type. With the same ids as ever. Returns how many.
-- Lock: the merchant's.
-- Raises: PR131 the range is not one, or of more than 10,000 events, PR401, PR431, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.replay_events(p_merchant_id uuid, p_endpoint_id uuid, p_from bigint, p_to bigint)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
    v_replayed bigint;
BEGIN
    PERFORM webhook.lock_endpoint(p_merchant_id, p_endpoint_id);
    IF (p_from >= 1 AND p_to BETWEEN p_from AND p_from + 9999) IS NOT TRUE THEN
        RAISE EXCEPTION 'a replay is of 1 to 10,000 events, from the first to the last'
            USING ERRCODE = 'PR131', DETAIL = json_build_object('field', 'to');
    END IF;

    INSERT INTO webhook.deliveries AS d (merchant_id, endpoint_id, seq, queued_at, next_attempt_at)
    SELECT
        p_merchant_id,
        p_endpoint_id,
        v.seq,
        v_now,
        v_now
    FROM payrail.events v
    INNER JOIN webhook.endpoints e ON e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id
    WHERE
        v.merchant_id = p_merchant_id
        AND v.seq BETWEEN p_from AND least(p_to, e.cursor)
        AND (
            p_from = p_to AND v.type <> 'endpoint.test'
            OR webhook.wants(p_endpoint_id, e.event_types, v.type, v.data)
        )
    ON CONFLICT (merchant_id, endpoint_id, seq) DO UPDATE
        SET
            status = 'pending',
            attempts = 0,
            first_attempt_at = NULL,
            next_attempt_at = excluded.next_attempt_at,
            delivered_at = NULL;
    GET DIAGNOSTICS v_replayed = ROW_COUNT;
    RETURN v_replayed;
END
$$;

COMMENT ON FUNCTION payrail.replay_events IS
'Sends events with these numbers (at most 10,000) to a webhook endpoint again; what it has not come to yet is sent anyway.';
