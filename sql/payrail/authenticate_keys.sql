-- Promises: whose keys these are, of those that are known, not revoked and not expired. The secrets themselves never reach the
-- database. last_used_at is kept to the minute, by whoever comes first.
CREATE OR REPLACE FUNCTION payrail.authenticate_keys(p_key_hashes bytea[])
RETURNS TABLE (
    key_hash bytea,
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
    FROM (
        SELECT u.key_hash
        FROM merchant.api_keys u
        WHERE
            u.key_hash = ANY (p_key_hashes)
            AND (u.last_used_at IS NULL OR u.last_used_at < now() - INTERVAL '1 minute')
            AND u.revoked_at IS NULL
            AND (u.expires_at IS NULL OR u.expires_at > now())
        FOR NO KEY UPDATE SKIP LOCKED
    ) used
    WHERE k.key_hash = used.key_hash;

    RETURN QUERY
    SELECT k.key_hash, k.merchant_id, m.name, k.api_key_id, k.prefix, k.owner, k.scopes, k.reads_per_second, k.writes_per_second
    FROM merchant.api_keys k
    INNER JOIN merchant.merchants m ON k.merchant_id = m.merchant_id
    WHERE k.key_hash = ANY (p_key_hashes) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
END
$$;

COMMENT ON FUNCTION payrail.authenticate_keys IS
'Whose API keys these are, and what they may do: no row for one that is unknown, revoked or expired. p_key_hashes are SHA-256 of the
secrets.';
