-- Promises: the key that manages its merchant's keys, as it is now: valid, and with the scope keys:write.
-- Lock: none. The caller holds the merchant's, so that it stays true.
-- Raises: PR505 it may not, or not any more.
CREATE OR REPLACE FUNCTION merchant.find_key_manager(p_merchant_id uuid, p_api_key_id uuid)
RETURNS SETOF merchant.api_keys
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN QUERY
    SELECT k.*
    FROM merchant.api_keys k
    WHERE
        k.merchant_id = p_merchant_id
        AND k.api_key_id = p_api_key_id
        AND 'keys:write' = ANY (k.scopes)
        AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > now());
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this API key manages no keys' USING ERRCODE = 'PR505';
    END IF;
END
$$;
