-- Promises: how the payouts requested on each of the last days stand now, in UTC, oldest first, days without any included; last, with no
-- day, all of them together. At most the newest p_most payouts are read, so that it takes no longer the more there are: where these do not
-- reach back p_days, only the days are told of which all are read; of today, if there is no such day, the newest.
CREATE OR REPLACE FUNCTION payrail.daily_payouts(p_merchant_id uuid, p_days integer DEFAULT 14, p_most integer DEFAULT 20000)
RETURNS TABLE (
    day date,
    settled bigint,
    failed bigint,
    returned bigint,
    cancelled bigint,
    under_way bigint,
    median_seconds double precision
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH newest AS MATERIALIZED (
        SELECT
            (p.created_at AT TIME ZONE 'UTC')::date AS made_on,
            p.status,
            extract(EPOCH FROM p.settled_at - p.created_at) AS seconds
        FROM payout.payouts p
        WHERE
            p.merchant_id = p_merchant_id
            -- the smallest UUIDv7 of that time (RFC 9562: the first 48 bits are milliseconds)
            AND p.payout_id >= (
                lpad(to_hex((extract(EPOCH FROM now() - make_interval(days => least(p_days, 366))) * 1000)::bigint), 12, '0')
                || repeat('0', 20)
            )::uuid
        ORDER BY p.payout_id DESC
        LIMIT p_most
    ),

    reach AS (
        SELECT
            (now() AT TIME ZONE 'UTC')::date AS today,
            CASE WHEN count(*) = p_most THEN least(min(n.made_on) + 1, max(n.made_on)) END AS since
        FROM newest n
    ),

    days AS (
        SELECT r.today - g.n AS day
        FROM reach r
        CROSS JOIN generate_series(least(p_days, 366) - 1, 0, -1) g (n)
        WHERE r.since IS NULL OR r.today - g.n >= r.since
    )

    SELECT
        d.day,
        count(*) FILTER (WHERE n.status = 'settled'),
        count(*) FILTER (WHERE n.status = 'failed'),
        count(*) FILTER (WHERE n.status = 'returned'),
        count(*) FILTER (WHERE n.status IN ('cancelled', 'rejected', 'expired')),
        count(*) FILTER (WHERE n.status IN ('pending', 'processing', 'awaiting_approval', 'scheduled', 'queued')),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY n.seconds)::double precision
    FROM days d
    LEFT JOIN newest n ON d.day = n.made_on
    GROUP BY GROUPING SETS ((d.day), ())
    ORDER BY d.day NULLS LAST;
END
$$;

COMMENT ON FUNCTION payrail.daily_payouts IS
'How many payouts requested on each of the last p_days days (at most 366, in UTC) are settled, failed, returned, cancelled (or
rejected, or expired) or under way, and the median time to settle in seconds; in the last row, which has no day, of all these days. Of a merchant with more than p_most payouts in
that time only the days are told that the newest p_most cover.';
