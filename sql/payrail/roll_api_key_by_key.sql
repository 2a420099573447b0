-- Promises: as payrail.roll_api_key, with another key of the merchant, or with the very same. Whoever rolls a key gets to know its new
-- secret, so p_by must be of the same owner and could have made that key.
-- Lock: the merchant's.
-- Raises: PR505 the key may not grant this, PR108 a malformed field, PR207 the secret is in use, PR212 the key has ended or been
-- rolled, PR401, PR404, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.roll_api_key_by_key(
    p_merchant_id uuid,
    p_by uuid,
    p_api_key_id uuid,
    p_key_hash bytea,
    p_prefix text,
    p_overlap interval DEFAULT '1 day'
)
RETURNS SETOF payrail.api_keys
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_by merchant.api_keys;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);
    SELECT k.* INTO v_by
    FROM merchant.find_key_manager(p_merchant_id, p_by) k;

    PERFORM
    FROM merchant.api_keys k
    WHERE
        k.merchant_id = p_merchant_id
        AND k.api_key_id = p_api_key_id
        AND NOT (
            k.scopes <@ v_by.scopes
            AND k.owner IS NOT DISTINCT FROM v_by.owner
            AND coalesce(k.expires_at, 'infinity') <= coalesce(v_by.expires_at, 'infinity')
        );
    IF FOUND THEN
        RAISE EXCEPTION 'this API key is another owner''s, or can do more than yours'
            USING ERRCODE = 'PR505', DETAIL = json_build_object('field', 'api_key_id');
    END IF;

    RETURN QUERY
    SELECT k.*
    FROM payrail.roll_api_key(p_merchant_id, p_api_key_id, p_key_hash, p_prefix, p_overlap) k;
END
$$;

COMMENT ON FUNCTION payrail.roll_api_key_by_key IS
'Gives an API key a new secret with a key of the merchant (p_by, which needs keys:write and must be of the same owner, with the same
scopes at least): returns the new key, and the old one is valid for p_overlap more (a day; at most 30).';
