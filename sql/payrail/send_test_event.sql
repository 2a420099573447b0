-- Promises: a test event that is sent to this endpoint only, whatever types it asked for.
-- Lock: the merchant's.
-- Raises: PR401, PR431, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.send_test_event(p_merchant_id uuid, p_endpoint_id uuid, p_actor text DEFAULT NULL)
RETURNS SETOF payrail.events
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_seq bigint;
BEGIN
    PERFORM webhook.lock_endpoint(p_merchant_id, p_endpoint_id);
    v_seq := webhook.add_event(
        p_merchant_id, 'endpoint.test', json_build_object('endpoint_id', p_endpoint_id), payrail.actor(p_actor)
    );

    RETURN QUERY
    SELECT e.*
    FROM payrail.events e
    WHERE e.merchant_id = p_merchant_id AND e.seq = v_seq;
END
$$;

COMMENT ON FUNCTION payrail.send_test_event IS 'Sends a test event to one webhook endpoint.';
