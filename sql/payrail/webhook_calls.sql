-- Promises: how many attempts to deliver webhooks there were in the last whole minute, how many of them in vain, and how long they took.
CREATE OR REPLACE FUNCTION payrail.webhook_calls()
RETURNS TABLE (attempts bigint, failed bigint, seconds double precision)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_minute timestamptz := date_trunc('minute', clock_timestamp());
BEGIN
    RETURN QUERY
    SELECT
        count(*),
        count(*) FILTER (WHERE NOT a.delivered),
        coalesce(extract(EPOCH FROM sum(a.took)), 0)::double precision
    FROM webhook.attempts a
    WHERE a.attempted_at >= v_minute - INTERVAL '1 minute' AND a.attempted_at < v_minute;
END
$$;

COMMENT ON FUNCTION payrail.webhook_calls IS 'Attempts to deliver webhooks in the last whole minute: all, those in vain, and the seconds they took together.';
