-- Promises: how many payouts are due, how many workers gave a sign of life within thirty seconds (each does every ten), and when one last
-- did. Only open payouts are read.
CREATE OR REPLACE FUNCTION payrail.work()
RETURNS TABLE (due bigint, workers bigint, seen_at timestamptz)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.due_merchants
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT
        (SELECT count(*) FROM payout.payouts p WHERE p.next_action_at <= now()),
        count(*) FILTER (WHERE w.last_heartbeat > now() - INTERVAL '30 seconds'),
        max(w.last_heartbeat)
    FROM procrastinate.procrastinate_workers w;
END
$$;

COMMENT ON FUNCTION payrail.work IS 'How many payouts are due, how many workers are alive, and when one last gave a sign of life.';
