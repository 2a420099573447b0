-- Promises: as payrail.authenticate_keys, for one.
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
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
SELECT
    k.merchant_id,
    k.merchant_name,
    k.api_key_id,
    k.key_prefix,
    k.owner,
    k.scopes,
    k.reads_per_second,
    k.writes_per_second
FROM payrail.authenticate_keys(ARRAY[p_key_hash]) k;
END;

COMMENT ON FUNCTION payrail.authenticate IS
'Whose API key this is, and what it may do: no row when it is unknown, revoked or expired. p_key_hash is SHA-256 of the secret.';
