CREATE OR REPLACE VIEW payrail.balances AS
SELECT
    m.merchant_id,
    c.currency,
    coalesce(e.available, 0) AS available,
    coalesce(e.held, 0) AS held
FROM merchant.merchants m
CROSS JOIN ledger.currencies c
LEFT JOIN LATERAL (
    SELECT
        l.available,
        l.held
    FROM ledger.entries l
    WHERE l.merchant_id = m.merchant_id AND l.currency = c.currency
    ORDER BY l.seq DESC
    LIMIT 1
) e ON TRUE;

COMMENT ON VIEW payrail.balances IS 'Balances in minor units: the position after the newest ledger entry. One index entry is read, however long the history.';
