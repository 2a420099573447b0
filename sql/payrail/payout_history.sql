CREATE OR REPLACE VIEW payrail.payout_history AS
SELECT
    h.merchant_id,
    h.payout_id,
    h.seq,
    h.from_status,
    h.to_status,
    h.actor,
    h.reason,
    h.created_at
FROM payout.history h;

COMMENT ON VIEW payrail.payout_history IS 'Every change of a payout''s status: from, to, who, why, when.';
