CREATE OR REPLACE VIEW payrail.batches AS
SELECT
    b.merchant_id,
    b.batch_id,
    b.idempotency_key,
    b.mode,
    b.name,
    b.lines,
    b.totals,
    b.status,
    b.accepted,
    b.rejected,
    b.actor,
    b.created_at,
    b.advanced_at,
    b.completed_at
FROM payout.batches b;

COMMENT ON VIEW payrail.batches IS
'Batches of payouts, one row each: how many lines there are, and how many were accepted and rejected so far. completed_at: it is over.';
