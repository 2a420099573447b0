-- Promises: how the payouts requested on each of the last days stand now, in UTC, oldest first, days without any included. A payout's
-- id tells when it was made, so only those days are read.
CREATE OR REPLACE FUNCTION payrail.daily_payouts(p_merchant_id uuid, p_days integer DEFAULT 14)
RETURNS TABLE (day date, settled bigint, failed bigint, under_way bigint, median_seconds double precision)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        d.day,
        count(*) FILTER (WHERE p.status = 'settled'),
        count(*) FILTER (WHERE p.status IN ('failed', 'returned', 'cancelled', 'rejected', 'expired')),
        count(*) FILTER (WHERE p.status IN ('pending', 'processing', 'awaiting_approval', 'scheduled', 'queued')),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(EPOCH FROM p.settled_at - p.created_at))
    FROM (
        SELECT ((now() AT TIME ZONE 'UTC')::date - n) AS day
        FROM generate_series(least(p_days, 366) - 1, 0, -1) n
    ) d
    LEFT JOIN payout.payouts p
        ON p.merchant_id = p_merchant_id
        -- the smallest UUIDv7 of that time (RFC 9562: the first 48 bits are milliseconds)
        AND p.payout_id >= (
            lpad(to_hex((extract(EPOCH FROM now() - make_interval(days => least(p_days, 366))) * 1000)::bigint), 12, '0')
            || repeat('0', 20)
        )::uuid
        AND (p.created_at AT TIME ZONE 'UTC')::date = d.day
    GROUP BY d.day
    ORDER BY d.day;
END
$$;

COMMENT ON FUNCTION payrail.daily_payouts IS
'How many payouts requested on each of the last p_days days (at most 366, in UTC) are settled, failed (or cancelled, rejected, expired or returned) or
under way, and the median time to settle in seconds.';
