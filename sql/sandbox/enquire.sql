-- Promises: what the bank says now about each reference: paid, refused, pending or not_found. Asking changes nothing.
-- Lock: none.
CREATE OR REPLACE FUNCTION sandbox.enquire(p_rail_refs text[])
RETURNS TABLE (rail_ref text, state text, utr text, failure_code text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        asked.rail_ref,
        CASE
            WHEN i.rail_ref IS NULL THEN 'not_found'
            WHEN i.answers_at > clock_timestamp() THEN 'pending'
            WHEN i.failure_code IS NULL THEN 'paid'
            ELSE 'refused'
        END,
        CASE WHEN i.answers_at <= clock_timestamp() THEN i.utr END,
        CASE WHEN i.answers_at <= clock_timestamp() THEN i.failure_code END
    FROM unnest(p_rail_refs) AS asked (rail_ref)
    LEFT JOIN sandbox.instructions i ON asked.rail_ref = i.rail_ref;
END
$$;

COMMENT ON FUNCTION sandbox.enquire IS
'Asks the pretend bank about references: state is paid (with its UTR), refused (with a failure code), pending or not_found.';
