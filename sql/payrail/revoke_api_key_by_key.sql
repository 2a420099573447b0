-- Promises: as payrail.revoke_api_key, with a key that manages keys: any of the merchant, also another owner's or itself, since a
-- secret that has leaked must end at once.
-- Lock: the merchant's.
-- Raises: PR505 p_by manages no keys, PR401, PR404, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.revoke_api_key_by_key(p_merchant_id uuid, p_by uuid, p_api_key_id uuid)
RETURNS SETOF payrail.api_keys
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);
    PERFORM merchant.find_key_manager(p_merchant_id, p_by);

    RETURN QUERY
    SELECT k.*
    FROM payrail.revoke_api_key(p_merchant_id, p_api_key_id) k;
END
$$;

COMMENT ON FUNCTION payrail.revoke_api_key_by_key IS
'Revokes an API key of the merchant at once, with a key that has keys:write (p_by). Repeating it changes nothing.';
