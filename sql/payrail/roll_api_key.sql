-- Promises: a new secret takes the place of a key: a key with the same name, owner, scopes, limits and end. The old one is valid for
-- p_overlap more, at most 30 days, and never longer than before. A key is rolled once: the next to be rolled is the new one.
-- Lock: the merchant's.
-- Raises: PR108 a malformed field, PR207 the secret is in use, PR212 the key has ended or been rolled, PR401, PR404, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.roll_api_key(
    p_merchant_id uuid, p_api_key_id uuid, p_key_hash bytea, p_prefix text, p_overlap interval DEFAULT '1 day'
)
RETURNS SETOF payrail.api_keys
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old payrail.api_keys;
    v_new payrail.api_keys;
    v_until timestamptz := now() + p_overlap;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);
    IF (p_overlap BETWEEN INTERVAL '0' AND INTERVAL '30 days') IS NOT TRUE THEN
        RAISE EXCEPTION 'malformed API key'
            USING ERRCODE = 'PR108', DETAIL = json_build_object('field', 'overlap'), HINT = 'It must be 0 to 30 days.';
    END IF;

    SELECT k.* INTO v_old
    FROM payrail.api_keys k
    WHERE k.merchant_id = p_merchant_id AND k.api_key_id = p_api_key_id;
    IF v_old.api_key_id IS NULL THEN
        RAISE EXCEPTION 'no such API key of this merchant'
            USING ERRCODE = 'PR404', DETAIL = json_build_object('field', 'api_key_id');
    END IF;
    IF v_old.replaced_by IS NOT NULL OR v_old.revoked_at IS NOT NULL OR v_old.expires_at <= now() THEN
        RAISE EXCEPTION 'this API key has ended or been rolled'
            USING ERRCODE = 'PR212', DETAIL = json_build_object('field', 'api_key_id', 'replaced_by', v_old.replaced_by);
    END IF;

    SELECT k.* INTO v_new
    FROM payrail.create_api_key(
        p_merchant_id => p_merchant_id,
        p_key_hash => p_key_hash,
        p_prefix => p_prefix,
        p_name => v_old.name,
        p_scopes => v_old.scopes,
        p_expires_at => v_old.expires_at,
        p_owner => v_old.owner,
        p_reads_per_second => v_old.reads_per_second,
        p_writes_per_second => v_old.writes_per_second
    ) k;
    UPDATE merchant.api_keys k
    SET
        expires_at = least(k.expires_at, v_until),
        replaced_by = v_new.api_key_id
    WHERE k.merchant_id = p_merchant_id AND k.api_key_id = p_api_key_id;

    RETURN NEXT v_new;
END
$$;

COMMENT ON FUNCTION payrail.roll_api_key IS
'Gives an API key a new secret: returns the new key, and the old one is valid for p_overlap more (a day; at most 30).';
