CREATE OR REPLACE VIEW payrail.webhook_fleet AS
SELECT
    e.merchant_id,
    m.name AS merchant_name,
    e.endpoint_id,
    e.url,
    e.status,
    e.disabled_reason,
    e.failures,
    e.failing_since,
    e.succeeded_at,
    coalesce(w.newest, 0) - e.cursor + p.pending AS waiting,
    least(p.oldest_at, n.created_at) AS waiting_since
FROM payrail.webhook_endpoints e
INNER JOIN merchant.merchants m ON e.merchant_id = m.merchant_id
LEFT JOIN LATERAL (
    SELECT max(v.seq) AS newest
    FROM webhook.events v
    WHERE v.merchant_id = e.merchant_id
) w ON TRUE
LEFT JOIN LATERAL (
    SELECT v.created_at
    FROM webhook.events v
    WHERE v.merchant_id = e.merchant_id AND v.seq = e.cursor + 1
) n ON TRUE
LEFT JOIN LATERAL (
    SELECT
        count(*) AS pending,
        min(d.queued_at) AS oldest_at
    FROM webhook.deliveries d
    WHERE d.merchant_id = e.merchant_id AND d.endpoint_id = e.endpoint_id AND d.status = 'pending'
) p ON TRUE
WHERE e.archived_at IS NULL;

COMMENT ON VIEW payrail.webhook_fleet IS
'Every webhook endpoint in use: how it goes, how many events wait for it, and since when the oldest does.';
