-- Promises: the session is over at once. Closing it again changes nothing.
CREATE OR REPLACE FUNCTION payrail.close_operator_session(p_session_hash bytea)
RETURNS SETOF text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    DELETE FROM merchant.operator_sessions s
    WHERE s.session_hash = p_session_hash
    RETURNING s.name;
END
$$;

COMMENT ON FUNCTION payrail.close_operator_session IS 'Signs out of the console; returns whom. p_session_hash is SHA-256.';
