CREATE OR REPLACE VIEW audit.broken_replay AS
SELECT
    r.merchant_id,
    r.currency,
    r.seq
FROM (
    SELECT
        e.merchant_id,
        e.currency,
        e.seq,
        e.available,
        e.held,
        k.kind,
        sum(k.available_sign * e.amount) OVER so_far AS replayed_available,
        sum(k.held_sign * e.amount) OVER so_far AS replayed_held
    FROM ledger.entries e
    LEFT JOIN ledger.kinds k ON e.kind = k.kind
    WINDOW so_far AS (PARTITION BY e.merchant_id, e.currency ORDER BY e.seq)
) r
WHERE r.kind IS NULL OR r.available <> r.replayed_available OR r.held <> r.replayed_held;

COMMENT ON VIEW audit.broken_replay IS 'Replaying every merchant''s entries gives the stored positions.';
