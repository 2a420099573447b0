-- Promises: an API key as every client sees it, without its secret.
CREATE OR REPLACE FUNCTION payrail.api_key_json(p_api_key payrail.api_keys)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN row_to_json(r)
    FROM (
        SELECT
            (p_api_key).api_key_id AS id,
            (p_api_key).prefix AS prefix,
            (p_api_key).name AS name,
            (p_api_key).owner AS owner,
            (p_api_key).scopes AS scopes,
            (p_api_key).reads_per_second AS reads_per_second,
            (p_api_key).writes_per_second AS writes_per_second,
            payrail.utc((p_api_key).created_at) AS created_at,
            payrail.utc((p_api_key).expires_at) AS expires_at,
            payrail.utc((p_api_key).revoked_at) AS revoked_at,
            payrail.utc((p_api_key).last_used_at) AS last_used_at,
            (p_api_key).replaced_by AS replaced_by
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.api_key_json IS 'An API key as the API shows it: a visible prefix, whose it is, what it may do, and when.';
