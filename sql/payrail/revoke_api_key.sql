-- Promises: the key is refused from the moment of commit. Repeating it changes nothing.
-- Lock: the merchant's.
-- Raises: PR401, PR404, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.revoke_api_key(p_merchant_id uuid, p_api_key_id uuid)
RETURNS SETOF payrail.api_keys
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);

    UPDATE merchant.api_keys k
    SET revoked_at = now()
    WHERE k.merchant_id = p_merchant_id AND k.api_key_id = p_api_key_id AND k.revoked_at IS NULL;

    RETURN QUERY
    SELECT k.*
    FROM payrail.api_keys k
    WHERE k.merchant_id = p_merchant_id AND k.api_key_id = p_api_key_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such API key of this merchant'
            USING ERRCODE = 'PR404', DETAIL = json_build_object('field', 'api_key_id');
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.revoke_api_key IS 'Revokes an API key at once. Repeating it changes nothing.';
