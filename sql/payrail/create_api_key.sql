-- Promises: the secret with this hash acts for the merchant, within its scopes, until it expires or is revoked.
-- The secret itself (256 random bits) is made by the caller, shown once and never sent here.
-- Lock: the merchant's.
-- Raises: PR108 a malformed field, PR207 the secret is in use, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.create_api_key(
    p_merchant_id uuid,
    p_key_hash bytea,
    p_prefix text,
    p_name text DEFAULT NULL,
    p_scopes text[] DEFAULT '{read,payouts:create}',
    p_expires_at timestamptz DEFAULT NULL,
    p_owner text DEFAULT NULL,
    p_reads_per_second integer DEFAULT 1000,
    p_writes_per_second integer DEFAULT 1000
)
RETURNS SETOF payrail.api_keys
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_known CONSTANT text[] := ARRAY[
        'read', 'payouts:create', 'payouts:approve', 'bank_accounts:write', 'webhooks:write', 'keys:write'
    ];
    v_field text;
    v_api_key_id uuid := uuidv7();
BEGIN
    v_field := CASE
        WHEN octet_length(p_key_hash) = 32 IS NOT TRUE THEN 'key_hash'
        WHEN p_prefix ~ '^[\x21-\x7e]{1,12}$' IS NOT TRUE THEN 'prefix'
        WHEN length(p_name) NOT BETWEEN 1 AND 200 THEN 'name'
        WHEN (p_scopes <@ v_known AND cardinality(p_scopes) > 0) IS NOT TRUE THEN 'scopes'
        WHEN p_expires_at <= now() OR p_expires_at > now() + INTERVAL '100 years' THEN 'expires_at'
        WHEN
            p_owner !~ '^[a-z0-9][a-z0-9._@-]{0,63}$'
            OR (p_owner IS NULL AND 'payouts:approve' = ANY (p_scopes))
            THEN 'owner'
        WHEN p_reads_per_second BETWEEN 1 AND 1000000 IS NOT TRUE THEN 'reads_per_second'
        WHEN p_writes_per_second BETWEEN 1 AND 1000000 IS NOT TRUE THEN 'writes_per_second'
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'malformed API key'
            USING ERRCODE = 'PR108', DETAIL = json_build_object('field', v_field), HINT = CASE v_field
                WHEN 'key_hash' THEN 'It must be the SHA-256 of the secret.'
                WHEN 'prefix' THEN 'It must be the first 1 to 12 characters of the secret.'
                WHEN 'name' THEN 'It must be 1 to 200 characters.'
                WHEN 'scopes' THEN 'It must be some of ' || array_to_string(v_known, ', ') || '.'
                WHEN 'expires_at' THEN 'It must be in the future, and within a hundred years.'
                WHEN 'owner'
                    THEN 'It must be 1 to 64 small letters, digits, dots, dashes, underscores or @, and whoever approves has one.'
                ELSE 'It must be 1 to 1000000.'
            END;
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);

    INSERT INTO merchant.api_keys AS k (
        key_hash, merchant_id, api_key_id, prefix, name, owner, scopes, reads_per_second, writes_per_second, expires_at
    )
    VALUES (
        p_key_hash, p_merchant_id, v_api_key_id, p_prefix, p_name, p_owner, p_scopes, p_reads_per_second, p_writes_per_second,
        p_expires_at
    )
    ON CONFLICT (key_hash) DO NOTHING;

    RETURN QUERY
    SELECT k.*
    FROM payrail.api_keys k
    WHERE k.merchant_id = p_merchant_id AND k.api_key_id = v_api_key_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this secret is in use: make a new one'
            USING ERRCODE = 'PR207', DETAIL = json_build_object('field', 'key_hash');
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.create_api_key IS
'Adds an API key by the SHA-256 of its secret, with a visible prefix, an owner (p_owner: who acts with it), scopes (read,
payouts:create, payouts:approve, bank_accounts:write, webhooks:write, keys:write), an optional expiry, and how many reads and writes
it may make in a second.';
