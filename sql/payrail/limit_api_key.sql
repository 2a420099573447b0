-- Promises: from its next request on the key may make so many reads and so many writes in a second, of each process that serves.
-- Lock: the merchant's.
-- Raises: PR108 a malformed field, PR401, PR404, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.limit_api_key(
    p_merchant_id uuid, p_api_key_id uuid, p_reads_per_second integer, p_writes_per_second integer
)
RETURNS SETOF payrail.api_keys
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);
    v_field := CASE
        WHEN p_reads_per_second BETWEEN 1 AND 1000000 IS NOT TRUE THEN 'reads_per_second'
        WHEN p_writes_per_second BETWEEN 1 AND 1000000 IS NOT TRUE THEN 'writes_per_second'
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'malformed API key'
            USING ERRCODE = 'PR108', DETAIL = json_build_object('field', v_field), HINT = 'It must be 1 to 1000000.';
    END IF;

    UPDATE merchant.api_keys k
    SET
        reads_per_second = p_reads_per_second,
        writes_per_second = p_writes_per_second
    WHERE k.merchant_id = p_merchant_id AND k.api_key_id = p_api_key_id;

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

COMMENT ON FUNCTION payrail.limit_api_key IS
'Sets how many reads and writes an API key may make in a second, at each process that serves the API.';
