-- Promises: whoever holds a valid API key is signed in for twelve hours, under a session id that the caller made and only the
-- browser keeps; no row, and nothing stored, for any other key. Sessions of this key that have ended are removed.
CREATE OR REPLACE FUNCTION payrail.open_session(p_key_hash bytea, p_session_hash bytea)
RETURNS TABLE (
    merchant_id uuid,
    merchant_name text,
    api_key_id uuid,
    key_prefix text,
    owner text,
    scopes text[],
    reads_per_second integer,
    writes_per_second integer
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR merchant_id, merchant_name, api_key_id, key_prefix, owner, scopes, reads_per_second, writes_per_second IN
        SELECT a.*
        FROM payrail.authenticate(p_key_hash) a
    LOOP
        DELETE FROM merchant.sessions s
        WHERE s.merchant_id = open_session.merchant_id AND s.api_key_id = open_session.api_key_id AND s.expires_at < now();
        INSERT INTO merchant.sessions (session_hash, merchant_id, api_key_id, expires_at)
        VALUES (p_session_hash, merchant_id, api_key_id, now() + INTERVAL '12 hours');
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.open_session IS
'Signs the holder of an API key in to the dashboard for twelve hours. Both arguments are SHA-256; no row when the key is not valid.';
