CREATE OR REPLACE VIEW payrail.api_keys AS
SELECT
    k.merchant_id,
    k.api_key_id,
    k.prefix,
    k.name,
    k.owner,
    k.scopes,
    k.reads_per_second,
    k.writes_per_second,
    k.created_at,
    k.expires_at,
    k.revoked_at,
    k.last_used_at,
    k.replaced_by
FROM merchant.api_keys k;

COMMENT ON VIEW payrail.api_keys IS
'API keys, without the secret: a visible prefix, whose it is, scopes, limits, when each was made, used and ended, and by which it was replaced.';
