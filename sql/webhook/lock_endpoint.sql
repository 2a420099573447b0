-- Promises: the merchant is locked, and has this endpoint in use.
-- Lock: the merchant's.
-- Raises: PR401, PR431 no such endpoint, PR901, PR902.
CREATE OR REPLACE FUNCTION webhook.lock_endpoint(p_merchant_id uuid, p_endpoint_id uuid)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);
    IF NOT EXISTS (
        SELECT FROM webhook.endpoints e
        WHERE e.merchant_id = p_merchant_id AND e.endpoint_id = p_endpoint_id AND e.archived_at IS NULL
    ) THEN
        RAISE EXCEPTION 'no such webhook endpoint of this merchant'
            USING ERRCODE = 'PR431', DETAIL = json_build_object('field', 'endpoint_id');
    END IF;
END
$$;
