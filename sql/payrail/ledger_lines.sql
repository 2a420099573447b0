CREATE OR REPLACE VIEW payrail.ledger_lines AS
SELECT
    e.merchant_id,
    e.currency,
    e.seq,
    l.line,
    l.account,
    l.debit,
    l.credit,
    e.payout_id,
    e.created_at
FROM payrail.ledger_entries e
CROSS JOIN LATERAL (
    VALUES
    (1, e.debit_account, e.amount, NULL::bigint),
    (2, e.credit_account, NULL::bigint, e.amount)
) l (line, account, debit, credit);

COMMENT ON VIEW payrail.ledger_lines IS 'The ledger as double entry: each movement as its two lines, a debit and a credit of equal amount.';
