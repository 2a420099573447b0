-- Promises: from when on each mode takes payments: now if it is open, NULL if it does not open within a year.
CREATE OR REPLACE FUNCTION payrail.mode_hours()
RETURNS TABLE (rail text, mode text, currency text, is_open boolean, opens_at timestamptz)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    RETURN QUERY
    SELECT
        m.rail,
        m.mode,
        m.currency,
        o.opens_at IS NOT DISTINCT FROM v_now,
        o.opens_at
    FROM rail.modes m
    CROSS JOIN LATERAL (SELECT rail.opens_at(m, v_now) AS opens_at) o;
END
$$;

COMMENT ON FUNCTION payrail.mode_hours IS
'Whether each mode of each bank is open now, and from when on it takes payments. opens_at is NULL when it does not open within a year.';
