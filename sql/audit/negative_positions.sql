CREATE OR REPLACE VIEW audit.negative_positions AS
SELECT
    e.merchant_id,
    e.currency,
    e.seq,
    e.available,
    e.held
FROM ledger.entries e
WHERE e.available < 0 OR e.held < 0;

COMMENT ON VIEW audit.negative_positions IS 'No available or held balance was ever below zero.';
