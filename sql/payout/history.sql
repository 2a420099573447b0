-- What happened to each payout, numbered by its version.
CREATE OR REPLACE VIEW payout.history AS
SELECT
    e.merchant_id,
    e.payout_id,
    e.payout_version AS seq,
    e.from_status,
    e.to_status,
    e.actor,
    e.reason,
    e.created_at
FROM webhook.events e
WHERE e.payout_id IS NOT NULL;

COMMENT ON VIEW payout.history IS 'Every change of a payout''s status: from, to, who, why, when.';
