-- Promises: every invariant with the number of rows that break it and up to five of them. Zero everywhere is
-- healthy. The invariants are the views of schema audit and their comments, so a new view is a new invariant. Read it
-- at REPEATABLE READ, so that all see the same moment.
CREATE OR REPLACE FUNCTION payrail.audit_report()
RETURNS TABLE (invariant text, promise text, violations bigint, sample jsonb)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR invariant, promise IN
        SELECT
            c.relname,
            obj_description(c.oid, 'pg_class')
        FROM pg_class c
        WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind = 'v'
        ORDER BY c.relname
    LOOP
        EXECUTE format(
            'WITH violation AS MATERIALIZED (SELECT * FROM audit.%I) '
            'SELECT count(*), (SELECT jsonb_agg(to_jsonb(s)) FROM (SELECT * FROM violation LIMIT 5) s) FROM violation',
            invariant
        ) INTO violations, sample;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.audit_report IS
'Every invariant of schema audit: what it promises, how many rows break it (0 = healthy) and up to five of them.';
