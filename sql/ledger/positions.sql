-- Each merchant's newest entry in each currency. Asked for one merchant and one currency, it reads one index entry, however
-- long the history: the planner makes a LIMIT 1 of the DISTINCT ON.
CREATE OR REPLACE VIEW ledger.positions AS
SELECT DISTINCT ON (e.merchant_id, e.currency)
    e.merchant_id,
    e.currency,
    e.seq,
    e.available,
    e.held,
    e.created_at,
    e.hash
FROM ledger.entries e
ORDER BY e.merchant_id ASC, e.currency ASC, e.seq DESC;

COMMENT ON VIEW ledger.positions IS 'The newest ledger entry of each merchant and currency: where its money is now.';
