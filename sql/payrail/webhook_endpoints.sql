CREATE OR REPLACE VIEW payrail.webhook_endpoints AS
SELECT
    e.merchant_id,
    e.endpoint_id,
    e.url,
    e.description,
    e.event_types,
    CASE
        WHEN e.archived_at IS NOT NULL THEN 'archived'
        WHEN e.disabled_at IS NOT NULL THEN 'disabled'
        WHEN e.failures >= 5 THEN 'failing'
        ELSE 'enabled'
    END AS status,
    e.previous_until,
    e.created_at,
    e.disabled_at,
    e.disabled_reason,
    e.archived_at,
    e.cursor,
    e.not_before,
    e.failures,
    e.failing_since,
    e.succeeded_at
FROM webhook.endpoints e;

COMMENT ON VIEW payrail.webhook_endpoints IS
'Where merchants want to be told of events, without the secrets: which types, how far (cursor), and how it goes.';
