CREATE OR REPLACE VIEW payrail.webhook_deliveries AS
SELECT
    d.merchant_id,
    d.endpoint_id,
    d.seq,
    v.event_id,
    v.type,
    v.payout_id,
    d.status,
    d.attempts,
    d.queued_at,
    d.first_attempt_at,
    d.next_attempt_at,
    d.delivered_at
FROM webhook.deliveries d
INNER JOIN payrail.events v ON d.merchant_id = v.merchant_id AND d.seq = v.seq;

COMMENT ON VIEW payrail.webhook_deliveries IS
'What is to be sent to each webhook endpoint, was delivered, or was given up; seq is the number of the event.';
