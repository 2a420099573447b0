-- Promises: what is given is changed, the rest stays. Enabled again, an endpoint goes on where it stopped, and is tried at once.
-- Lock: the merchant's.
-- Raises: PR131 a malformed field, PR231 the merchant has another endpoint at this address, PR401, PR431, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.update_webhook_endpoint(
    p_merchant_id uuid,
    p_endpoint_id uuid,
    p_url text DEFAULT NULL,
    p_event_types text[] DEFAULT NULL,
    p_description text DEFAULT NULL,
    p_enabled boolean DEFAULT NULL
)
RETURNS SETOF payrail.webhook_endpoints
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
    v_is_new boolean;
    v_field text;
BEGIN
    PERFORM webhook.lock_endpoint(p_merchant_id, p_endpoint_id);

    SELECT
        coalesce(p_url <> e.url, FALSE) OR coalesce(p_enabled, FALSE),
        payrail.webhook_field_problem(
            coalesce(p_url, e.url), coalesce(p_event_types, e.event_types), coalesce(p_description, e.description), e.secret
        )
    INTO v_is_new, v_field
    FROM webhook.endpoints e
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'malformed webhook endpoint'
            USING ERRCODE = 'PR131', DETAIL = json_build_object('field', v_field);
    END IF;
    IF EXISTS (
        SELECT FROM webhook.endpoints e
        WHERE e.merchant_id = p_merchant_id AND e.endpoint_id <> p_endpoint_id AND e.url = p_url AND e.archived_at IS NULL
    ) THEN
        RAISE EXCEPTION 'there is a webhook endpoint at this address'
            USING ERRCODE = 'PR231', DETAIL = json_build_object('field', 'url');
    END IF;

    UPDATE webhook.endpoints e
    SET
        url = coalesce(p_url, e.url),
        event_types = coalesce(p_event_types, e.event_types),
        description = coalesce(p_description, e.description),
        disabled_at = CASE WHEN p_enabled THEN NULL WHEN NOT p_enabled THEN coalesce(e.disabled_at, v_now) ELSE e.disabled_at END,
        disabled_reason = CASE
            WHEN p_enabled THEN NULL
            WHEN NOT p_enabled THEN coalesce(e.disabled_reason, 'by_merchant')
            ELSE e.disabled_reason
        END,
        -- a new start; whoever is sending just now may not tell how the old one went
        claim = CASE WHEN v_is_new THEN e.claim + 1 ELSE e.claim END,
        not_before = CASE WHEN v_is_new THEN NULL ELSE e.not_before END,
        failures = CASE WHEN v_is_new THEN 0 ELSE e.failures END,
        failing_since = CASE WHEN v_is_new THEN NULL ELSE e.failing_since END
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id;
    IF v_is_new THEN
        UPDATE webhook.deliveries d
        SET next_attempt_at = v_now
        WHERE d.merchant_id = p_merchant_id AND d.endpoint_id = p_endpoint_id AND d.status = 'pending' AND d.next_attempt_at > v_now;
    END IF;

    RETURN QUERY
    SELECT e.*
    FROM payrail.webhook_endpoints e
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id;
END
$$;

COMMENT ON FUNCTION payrail.update_webhook_endpoint IS
'Changes a webhook endpoint''s address, types or description, disables it, or enables it again. What is NULL stays.';
