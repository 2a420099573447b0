CREATE OR REPLACE VIEW audit.missing_books AS
SELECT
    e.merchant_id,
    e.currency
FROM ledger.entries e
LEFT JOIN ledger.books k ON e.merchant_id = k.merchant_id AND e.currency = k.currency
WHERE e.seq = 1 AND k.currency IS NULL;

COMMENT ON VIEW audit.missing_books IS 'Every currency that a merchant has entries in is among its balances.';
