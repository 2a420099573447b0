-- Promises: what is sent from now on is signed with the new secret, and until p_overlap has passed with the one before as well, so that a
-- receiver can change over when it likes.
-- Lock: the merchant's.
-- Raises: PR131 a malformed field, PR401, PR431, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.roll_webhook_secret(
    p_merchant_id uuid, p_endpoint_id uuid, p_secret text, p_overlap interval DEFAULT '24 hours'
)
RETURNS SETOF payrail.webhook_endpoints
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    PERFORM webhook.lock_endpoint(p_merchant_id, p_endpoint_id);
    IF p_overlap BETWEEN INTERVAL '0' AND INTERVAL '7 days' IS NOT TRUE THEN
        RAISE EXCEPTION 'malformed webhook endpoint'
            USING ERRCODE = 'PR131', DETAIL = json_build_object('field', 'overlap'), HINT = 'It must be 0 to 7 days.';
    END IF;
    IF (p_secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$') IS NOT TRUE THEN
        RAISE EXCEPTION 'malformed webhook endpoint'
            USING ERRCODE = 'PR131', DETAIL = json_build_object('field', 'secret'), HINT = 'It must be whsec_ and 24 to 64 bytes in base64.';
    END IF;

    UPDATE webhook.endpoints e
    SET
        secret = p_secret,
        previous_secret = e.secret,
        previous_until = v_now + p_overlap
    -- the same again, because the answer was lost, may not push the old one out
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id AND e.secret <> p_secret;

    RETURN QUERY
    SELECT e.*
    FROM payrail.webhook_endpoints e
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id;
END
$$;

COMMENT ON FUNCTION payrail.roll_webhook_secret IS
'Gives a webhook endpoint a new secret; until p_overlap (at most 7 days) has passed, the one before signs as well.';
