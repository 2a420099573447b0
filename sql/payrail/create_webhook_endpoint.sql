-- Promises: events of these types that happen from now on are sent to the address, signed with the secret. The secret (whsec_ and 24 to 64
-- random bytes in base64) is made by the caller and shown once.
-- Lock: the merchant's.
-- Raises: PR131 a malformed field, PR231 the merchant has an endpoint at this address, PR232 or too many, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.create_webhook_endpoint(
    p_merchant_id uuid,
    p_url text,
    p_secret text,
    p_event_types text[] DEFAULT '{*}',
    p_description text DEFAULT NULL
)
RETURNS SETOF payrail.webhook_endpoints
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text := payrail.webhook_field_problem(p_url, p_event_types, p_description, p_secret);
    v_endpoint_id uuid := uuidv7();
BEGIN
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'malformed webhook endpoint'
            USING ERRCODE = 'PR131', DETAIL = json_build_object('field', v_field), HINT = CASE v_field
                WHEN 'url' THEN 'It must be an https address in lower case, without a user or a fragment.'
                WHEN 'event_types' THEN 'They must be of payrail.event_types, payout.* or the like, or *.'
                WHEN 'description' THEN 'It must be 1 to 200 characters without control characters.'
                ELSE 'It must be whsec_ and 24 to 64 bytes in base64.'
            END;
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);

    IF EXISTS (
        SELECT FROM webhook.endpoints e
        WHERE e.merchant_id = p_merchant_id AND e.url = p_url AND e.archived_at IS NULL
    ) THEN
        RAISE EXCEPTION 'there is a webhook endpoint at this address'
            USING ERRCODE = 'PR231', DETAIL = json_build_object('field', 'url');
    END IF;
    IF (SELECT count(*) >= 16 FROM webhook.endpoints e WHERE e.merchant_id = p_merchant_id AND e.archived_at IS NULL) THEN
        RAISE EXCEPTION 'a merchant has at most 16 webhook endpoints'
            USING ERRCODE = 'PR232', DETAIL = json_build_object('field', 'url');
    END IF;
    INSERT INTO webhook.endpoints (merchant_id, endpoint_id, url, description, event_types, secret, cursor)
    SELECT
        p_merchant_id,
        v_endpoint_id,
        p_url,
        p_description,
        p_event_types,
        p_secret,
        coalesce(max(e.seq), 0)
    FROM webhook.events e
    WHERE e.merchant_id = p_merchant_id;

    RETURN QUERY
    SELECT e.*
    FROM payrail.webhook_endpoints e
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = v_endpoint_id;
END
$$;

COMMENT ON FUNCTION payrail.create_webhook_endpoint IS
'Sends events that happen from now on to an https address, signed as Standard Webhooks has it. Types are of payrail.event_types, payout.* or *.';
