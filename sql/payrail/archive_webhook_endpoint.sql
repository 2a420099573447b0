-- Promises: nothing is sent to this endpoint any more, and it can not come back; its log stays. Repeating it changes nothing.
-- Lock: the merchant's.
-- Raises: PR401, PR431, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.archive_webhook_endpoint(p_merchant_id uuid, p_endpoint_id uuid)
RETURNS SETOF payrail.webhook_endpoints
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);

    UPDATE webhook.endpoints e
    SET archived_at = v_now
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id AND e.archived_at IS NULL;

    RETURN QUERY
    SELECT e.*
    FROM payrail.webhook_endpoints e
    WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such webhook endpoint of this merchant'
            USING ERRCODE = 'PR431', DETAIL = json_build_object('field', 'endpoint_id');
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.archive_webhook_endpoint IS 'Takes a webhook endpoint out of use for good. Repeating it changes nothing.';
