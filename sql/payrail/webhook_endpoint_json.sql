-- Promises: a webhook endpoint as every client sees it, without its secret.
CREATE OR REPLACE FUNCTION payrail.webhook_endpoint_json(p_endpoint payrail.webhook_endpoints)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN row_to_json(r)
    FROM (
        SELECT
            p_endpoint.endpoint_id AS id,
            p_endpoint.url AS url,
            p_endpoint.description AS description,
            p_endpoint.event_types AS event_types,
            p_endpoint.status AS status,
            p_endpoint.disabled_reason AS disabled_reason,
            payrail.utc(p_endpoint.failing_since) AS failing_since,
            payrail.utc(p_endpoint.succeeded_at) AS succeeded_at,
            payrail.utc(p_endpoint.previous_until) AS previous_secret_until,
            payrail.utc(p_endpoint.created_at) AS created_at
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.webhook_endpoint_json IS 'A webhook endpoint as the API shows it, without its secret.';
