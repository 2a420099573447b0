CREATE OR REPLACE VIEW payrail.events AS
SELECT
    e.merchant_id,
    e.seq,
    e.event_id,
    e.type,
    e.payout_id,
    e.payout_version,
    e.from_status,
    e.to_status,
    e.actor,
    e.reason,
    e.created_at
FROM webhook.events e;

COMMENT ON VIEW payrail.events IS 'One event per change, numbered per merchant in commit order without gaps.';
