-- Promises: whose key this is, if it is known, not revoked and not expired; no row otherwise. The secret itself
-- never reaches the database. last_used_at is kept to the minute.
CREATE OR REPLACE FUNCTION payrail.authenticate(p_key_hash bytea)
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
    UPDATE merchant.api_keys k
    SET last_used_at = now()
    WHERE
        k.key_hash = p_key_hash
        AND (k.last_used_at IS NULL OR k.last_used_at < now() - INTERVAL '1 minute')
        AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > now());

    RETURN QUERY
    SELECT k.merchant_id, m.name, k.api_key_id, k.prefix, k.owner, k.scopes, k.reads_per_second, k.writes_per_second
    FROM merchant.api_keys k
    INNER JOIN merchant.merchants m ON k.merchant_id = m.merchant_id
    WHERE k.key_hash = p_key_hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
END
$$;

COMMENT ON FUNCTION payrail.authenticate IS
'Whose API key this is, and what it may do: no row when it is unknown, revoked or expired. p_key_hash is SHA-256 of the secret.';
