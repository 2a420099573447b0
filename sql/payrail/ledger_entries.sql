CREATE OR REPLACE VIEW payrail.ledger_entries AS
SELECT
    e.merchant_id,
    e.currency,
    e.seq,
    e.kind,
    e.amount,
    k.debit_account,
    k.credit_account,
    e.available,
    e.held,
    e.payout_id,
    e.reference,
    e.created_at,
    e.hash
FROM ledger.entries e
LEFT JOIN ledger.kinds k ON e.kind = k.kind;

COMMENT ON VIEW payrail.ledger_entries IS 'The ledger: one row per movement of money, in minor units, with the position after it.';
