-- Promises: how many cases are open, by kind, those without any left out. Only open cases are read.
CREATE OR REPLACE FUNCTION payrail.open_cases()
RETURNS TABLE (kind text, cases bigint)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        c.kind,
        count(*)
    FROM rail.cases c
    WHERE c.closed_at IS NULL
    GROUP BY c.kind
    ORDER BY c.kind;
END
$$;

COMMENT ON FUNCTION payrail.open_cases IS 'How many cases are open, by kind.';
