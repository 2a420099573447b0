-- Promises: whose session this is, while it lasts and its API key is valid; no row otherwise.
CREATE OR REPLACE FUNCTION payrail.resume_session(p_session_hash bytea)
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
    RETURN QUERY
    SELECT a.*
    FROM merchant.sessions s
    INNER JOIN merchant.api_keys k ON s.merchant_id = k.merchant_id AND s.api_key_id = k.api_key_id
    CROSS JOIN LATERAL payrail.authenticate(k.key_hash) a
    WHERE s.session_hash = p_session_hash AND s.expires_at > now();
END
$$;

COMMENT ON FUNCTION payrail.resume_session IS
'Whose dashboard session this is: no row when it is unknown or over, or its API key no longer valid. p_session_hash is SHA-256.';
