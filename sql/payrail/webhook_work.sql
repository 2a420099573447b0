-- Promises: how many webhook endpoints are enabled, failing and disabled, how many events wait for them, and for how long the oldest of
-- those has (0 when none does).
CREATE OR REPLACE FUNCTION payrail.webhook_work()
RETURNS TABLE (status text, endpoints bigint, waiting bigint, waiting_seconds double precision)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        s.status,
        count(f.endpoint_id),
        coalesce(sum(f.waiting), 0)::bigint,
        coalesce(greatest(extract(EPOCH FROM clock_timestamp() - min(f.waiting_since)), 0), 0)::double precision
    FROM unnest(ARRAY['enabled', 'failing', 'disabled']) s (status)
    LEFT JOIN payrail.webhook_fleet f ON s.status = f.status
    GROUP BY s.status;
END
$$;

COMMENT ON FUNCTION payrail.webhook_work IS 'Webhook endpoints by status, and how many events wait for them for how many seconds at most.';
