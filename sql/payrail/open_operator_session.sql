-- Promises: the operator whose password hash this still is is signed in, under a session id that the caller made and only the browser
-- keeps; it is in the log, and the tries so far are forgotten. No row, and nothing stored, if the password was changed or the
-- operator disabled meanwhile. The sessions that are over, and tries of before, are removed.
CREATE OR REPLACE FUNCTION payrail.open_operator_session(p_name text, p_password_hash text, p_session_hash bytea)
RETURNS SETOF text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO merchant.operator_sessions (session_hash, name, password_hash)
    SELECT
        p_session_hash,
        o.name,
        o.password_hash
    FROM merchant.operators o
    WHERE o.name = p_name AND o.password_hash = p_password_hash AND o.disabled_at IS NULL
    ON CONFLICT (session_hash) DO NOTHING;
    IF FOUND THEN
        INSERT INTO merchant.operator_actions (actor, action, object)
        VALUES (payrail.actor(p_name), 'signed_in', p_name);
        DELETE FROM merchant.operator_tries t
        WHERE t.name = p_name OR t.since < now() - INTERVAL '10 minutes';
        DELETE FROM merchant.operator_sessions s
        WHERE s.created_at < now() - INTERVAL '12 hours';
    END IF;

    RETURN QUERY
    SELECT s.name
    FROM merchant.operator_sessions s
    WHERE s.session_hash = p_session_hash AND s.name = p_name;
END
$$;

COMMENT ON FUNCTION payrail.open_operator_session IS
'Signs an operator in to the console whose password was compared with p_password_hash. p_session_hash is SHA-256 of the cookie.';
