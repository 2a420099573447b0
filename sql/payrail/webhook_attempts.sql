CREATE OR REPLACE VIEW payrail.webhook_attempts AS
SELECT
    a.merchant_id,
    a.endpoint_id,
    a.seq,
    a.attempt_id,
    a.attempted_at,
    a.delivered,
    a.response_status,
    a.took,
    a.error,
    a.body_head
FROM webhook.attempts a;

COMMENT ON VIEW payrail.webhook_attempts IS 'Each attempt to deliver an event: what the endpoint said, and how long it took.';
