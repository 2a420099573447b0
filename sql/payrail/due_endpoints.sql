-- Promises: the webhook endpoints to which something is to be sent now, by a plain read: no lock, and claiming checks again.
CREATE OR REPLACE FUNCTION payrail.due_endpoints(p_limit integer DEFAULT 1000)
RETURNS TABLE (merchant_id uuid, endpoint_id uuid)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.due_merchants
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    RETURN QUERY
    SELECT
        e.merchant_id,
        e.endpoint_id
    FROM webhook.endpoints e
    WHERE
        e.archived_at IS NULL
        AND e.disabled_at IS NULL
        AND (e.not_before IS NULL OR e.not_before <= v_now)
        AND (
            EXISTS (SELECT FROM webhook.events v WHERE v.merchant_id = e.merchant_id AND v.seq > e.cursor)
            OR EXISTS (
                SELECT
                FROM webhook.deliveries d
                WHERE
                    d.merchant_id = e.merchant_id
                    AND d.endpoint_id = e.endpoint_id
                    AND d.status = 'pending'
                    AND d.next_attempt_at <= v_now
            )
        )
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION payrail.due_endpoints IS 'Webhook endpoints to which something is to be sent now.';
