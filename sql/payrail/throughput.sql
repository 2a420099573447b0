-- Promises: how the payouts requested in each of the last minutes stand now, of all merchants together, oldest first, minutes without any
-- included; and after how long half of those that are settled were, and 95 of 100. A payout's id tells when it was made, so only those
-- minutes are read, merchant by merchant.
CREATE OR REPLACE FUNCTION payrail.throughput(p_minutes integer DEFAULT 60)
RETURNS TABLE (
    minute timestamptz, settled bigint, failed bigint, under_way bigint, median_seconds double precision, p95_seconds double precision
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.due_merchants
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_minutes integer := least(p_minutes, 1440);
    v_first_id uuid := uuidv7(make_interval(mins => -v_minutes));
BEGIN
    RETURN QUERY
    WITH made AS (
        SELECT
            date_trunc('minute', p.created_at) AS minute,
            count(*) FILTER (WHERE p.status = 'settled') AS settled,
            count(*) FILTER (WHERE p.status IN ('failed', 'returned', 'cancelled', 'rejected', 'expired')) AS failed,
            count(*) FILTER (WHERE p.status IN ('pending', 'processing', 'awaiting_approval', 'scheduled', 'queued')) AS under_way,
            percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
                ORDER BY extract(EPOCH FROM p.settled_at - p.created_at)::double precision
            ) AS seconds
        FROM merchant.merchants m
        CROSS JOIN LATERAL (
            SELECT
                o.created_at,
                o.settled_at,
                o.status
            FROM payout.payouts o
            WHERE o.merchant_id = m.merchant_id AND o.payout_id >= v_first_id
        ) p
        GROUP BY 1
    )

    SELECT
        d.minute,
        coalesce(a.settled, 0),
        coalesce(a.failed, 0),
        coalesce(a.under_way, 0),
        a.seconds[1],
        a.seconds[2]
    FROM (
        SELECT date_trunc('minute', now()) - make_interval(mins => n) AS minute
        FROM generate_series(v_minutes - 1, 0, -1) n
    ) d
    LEFT JOIN made a ON d.minute = a.minute
    ORDER BY d.minute;
END
$$;

COMMENT ON FUNCTION payrail.throughput IS
'How many payouts requested in each of the last p_minutes minutes (at most a day) are settled, failed (or cancelled, rejected, expired or returned) or
under way, of all merchants; and the median and the 95th percentile of the seconds from request to settlement.';
