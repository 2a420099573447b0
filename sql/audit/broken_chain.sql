CREATE OR REPLACE VIEW audit.broken_chain AS
SELECT
    c.merchant_id,
    c.currency,
    c.seq
FROM (
    SELECT
        e.merchant_id,
        e.currency,
        e.seq,
        e.hash,
        ledger.entry_hash(
            lag(e.hash) OVER chain, e.merchant_id, e.currency, e.seq, e.kind, e.amount, e.available, e.held, e.payout_id,
            e.reference, e.created_at
        ) AS computed_hash,
        coalesce(lag(e.seq) OVER chain, 0) AS previous_seq
    FROM ledger.entries e
    WINDOW chain AS (PARTITION BY e.merchant_id, e.currency ORDER BY e.seq)
) c
WHERE c.seq <> c.previous_seq + 1 OR c.hash <> c.computed_hash;

COMMENT ON VIEW audit.broken_chain IS 'Ledger entries are numbered without gaps and each one''s hash continues the one before.';
