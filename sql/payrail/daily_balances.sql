-- Promises: the balance at the end of each of the last days, in UTC, oldest first; the last one is today's, as it is now.
CREATE OR REPLACE FUNCTION payrail.daily_balances(p_merchant_id uuid, p_currency text DEFAULT 'INR', p_days integer DEFAULT 30)
RETURNS TABLE (day date, available bigint, held bigint, total bigint)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        d.day,
        coalesce(p.available, 0),
        coalesce(p.held, 0),
        coalesce(p.available + p.held, 0)
    FROM (
        SELECT ((now() AT TIME ZONE 'UTC')::date - n) AS day
        FROM generate_series(least(p_days, 366) - 1, 0, -1) n
    ) d
    LEFT JOIN LATERAL ledger.position_at(
        p_merchant_id => p_merchant_id, p_currency => p_currency, p_at => (d.day + 1)::timestamp AT TIME ZONE 'UTC' - INTERVAL '1 microsecond'
    ) p ON TRUE
    ORDER BY d.day;
END
$$;

COMMENT ON FUNCTION payrail.daily_balances IS
'A merchant''s balance at the end of each of the last p_days days (at most 366), in UTC and minor units.';
