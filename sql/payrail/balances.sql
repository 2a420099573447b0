CREATE OR REPLACE VIEW payrail.balances AS
SELECT
    b.merchant_id,
    b.currency,
    coalesce(e.available, 0) AS available,
    coalesce(e.held, 0) AS held
FROM (
    SELECT
        m.merchant_id,
        'INR' AS currency
    FROM merchant.merchants m
    UNION ALL
    SELECT
        k.merchant_id,
        k.currency
    FROM ledger.books k
    WHERE k.currency <> 'INR'
) b
LEFT JOIN LATERAL (
    SELECT
        l.available,
        l.held
    FROM ledger.entries l
    WHERE l.merchant_id = b.merchant_id AND l.currency = b.currency
    ORDER BY l.seq DESC
    LIMIT 1
) e ON TRUE;

COMMENT ON VIEW payrail.balances IS
'Balances in minor units, in INR and in every other currency that a merchant has had: the position after the newest ledger entry. One
index entry is read for each, however long the history.';
