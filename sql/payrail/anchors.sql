CREATE OR REPLACE VIEW payrail.anchors AS
SELECT
    b.merchant_id,
    b.currency,
    e.seq,
    encode(e.hash, 'hex') AS hash
FROM ledger.books b
CROSS JOIN LATERAL (
    SELECT
        l.seq,
        l.hash
    FROM ledger.entries l
    WHERE l.merchant_id = b.merchant_id AND l.currency = b.currency
    ORDER BY l.seq DESC
    LIMIT 1
) e;

COMMENT ON VIEW payrail.anchors IS
'The newest entry of each merchant''s ledger in each currency, and its hash in hex, which depends on all before it: whoever keeps it elsewhere
finds out by payrail.verify_ledger whether any of them was changed since.';
