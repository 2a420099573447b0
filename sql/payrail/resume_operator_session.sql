-- Promises: whose session this is, for twelve hours at most and thirty minutes after the last page, while the operator is not disabled
-- and the password is the one that opened it; no row otherwise.
CREATE OR REPLACE FUNCTION payrail.resume_operator_session(p_session_hash bytea)
RETURNS SETOF text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    UPDATE merchant.operator_sessions s
    SET seen_at = now()
    FROM merchant.operators o
    WHERE
        s.session_hash = p_session_hash
        AND s.created_at > now() - INTERVAL '12 hours'
        AND s.seen_at > now() - INTERVAL '30 minutes'
        AND o.name = s.name
        AND o.password_hash = s.password_hash
        AND o.disabled_at IS NULL
    RETURNING s.name;
END
$$;

COMMENT ON FUNCTION payrail.resume_operator_session IS
'Whose session at the console this is; using it keeps it open. No row when it is unknown or over. p_session_hash is SHA-256.';
