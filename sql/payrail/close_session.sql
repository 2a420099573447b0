-- Promises: the session is over at once. Closing it again changes nothing.
CREATE OR REPLACE FUNCTION payrail.close_session(p_session_hash bytea)
RETURNS SETOF timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    DELETE FROM merchant.sessions s
    WHERE s.session_hash = p_session_hash
    RETURNING s.expires_at;
END
$$;

COMMENT ON FUNCTION payrail.close_session IS 'Signs out of the dashboard; returns when the session would have ended. p_session_hash is SHA-256.';
