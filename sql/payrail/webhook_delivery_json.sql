-- Promises: a delivery as every client sees it, with its attempts, oldest first.
CREATE OR REPLACE FUNCTION payrail.webhook_delivery_json(p_delivery payrail.webhook_deliveries)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_log json;
BEGIN
    SELECT json_agg(row_to_json(c) ORDER BY c.at) INTO v_log
    FROM (
        SELECT
            payrail.utc(a.attempted_at) AS at,
            a.delivered,
            a.response_status,
            (extract(EPOCH FROM a.took) * 1000)::integer AS milliseconds,
            a.error,
            a.body_head
        FROM payrail.webhook_attempts a
        WHERE a.merchant_id = p_delivery.merchant_id AND a.endpoint_id = p_delivery.endpoint_id AND a.seq = p_delivery.seq
    ) c;
    RETURN row_to_json(r)
    FROM (
        SELECT
            p_delivery.event_id AS event_id,
            p_delivery.seq AS number,
            p_delivery.type AS type,
            p_delivery.status AS status,
            payrail.utc(p_delivery.queued_at) AS queued_at,
            payrail.utc(p_delivery.next_attempt_at) AS next_attempt_at,
            payrail.utc(p_delivery.delivered_at) AS delivered_at,
            coalesce(v_log, '[]') AS attempts
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.webhook_delivery_json IS 'A delivery as the API shows it, with what the endpoint said to each attempt.';
