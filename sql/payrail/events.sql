CREATE OR REPLACE VIEW payrail.events AS
SELECT
    e.merchant_id,
    e.seq,
    'payout.' || CASE WHEN e.from_status IS NULL THEN 'created' ELSE e.to_status END AS type,
    e.payout_id,
    e.payout_version,
    e.from_status,
    e.to_status,
    e.actor,
    e.reason,
    e.created_at
FROM webhook.events e;

COMMENT ON VIEW payrail.events IS 'One event per change, numbered per merchant in commit order without gaps.';
