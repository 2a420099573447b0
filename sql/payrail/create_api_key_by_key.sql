-- Promises: a key made with another one, p_by, can do no more than that one: its scopes are among those of p_by, it ends no later,
-- and it has the same owner and limits. So nobody gets a second pair of eyes, which approvals need, without an operator.
-- Lock: the merchant's.
-- Raises: PR505 the key may not grant this, PR108 a malformed field, PR207 the secret is in use, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.create_api_key_by_key(
    p_merchant_id uuid,
    p_by uuid,
    p_key_hash bytea,
    p_prefix text,
    p_scopes text[],
    p_name text DEFAULT NULL,
    p_expires_at timestamptz DEFAULT NULL
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

    IF NOT p_scopes <@ v_by.scopes OR p_expires_at > v_by.expires_at THEN
        RAISE EXCEPTION 'an API key grants no scope that it lacks, and for no longer than it lasts'
            USING ERRCODE = 'PR505', DETAIL = json_build_object(
                'field', CASE WHEN p_scopes <@ v_by.scopes THEN 'expires_at' ELSE 'scopes' END
            );
    END IF;

    RETURN QUERY
    SELECT k.*
    FROM payrail.create_api_key(
        p_merchant_id => p_merchant_id,
        p_key_hash => p_key_hash,
        p_prefix => p_prefix,
        p_name => p_name,
        p_scopes => p_scopes,
        p_expires_at => coalesce(p_expires_at, v_by.expires_at),
        p_owner => v_by.owner,
        p_reads_per_second => v_by.reads_per_second,
        p_writes_per_second => v_by.writes_per_second
    ) k;
END
$$;

COMMENT ON FUNCTION payrail.create_api_key_by_key IS
'Adds an API key with another one of the merchant (p_by, which needs keys:write): of the same owner, with some of its scopes, and for
no longer than it lasts.';
