CREATE OR REPLACE VIEW payrail.anchors AS
-- from chain to chain by the index, and not by ledger.books: a chain whose book is gone is anchored, too
WITH RECURSIVE chains AS (
    (
        SELECT
            e.merchant_id,
            e.currency
        FROM ledger.entries e
        ORDER BY e.merchant_id, e.currency
        LIMIT 1
    )
    UNION ALL
    SELECT
        n.merchant_id,
        n.currency
    FROM chains c
    CROSS JOIN LATERAL (
        SELECT
            e.merchant_id,
            e.currency
        FROM ledger.entries e
        WHERE (e.merchant_id, e.currency) > (c.merchant_id, c.currency)
        ORDER BY e.merchant_id, e.currency
        LIMIT 1
    ) n
)

SELECT
    c.merchant_id,
    c.currency,
    e.seq,
    encode(e.hash, 'hex') AS hash
FROM chains c
CROSS JOIN LATERAL (
    SELECT
        l.seq,
        l.hash
    FROM ledger.entries l
    WHERE l.merchant_id = c.merchant_id AND l.currency = c.currency
    ORDER BY l.seq DESC
    LIMIT 1
) e;

COMMENT ON VIEW payrail.anchors IS
'The newest entry of each merchant''s ledger in each currency, and its hash in hex, which depends on all before it: whoever keeps it elsewhere
finds out by "payrail verify" whether any of them was changed since.';
