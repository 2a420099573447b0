CREATE OR REPLACE VIEW audit.money_not_conserved AS
SELECT
    b.merchant_id,
    b.currency,
    sum(b.available + b.held) AS positions,
    coalesce(sum(f.net), 0) AS money_in_less_paid_out
FROM payrail.balances b
LEFT JOIN (
    SELECT
        e.merchant_id,
        e.currency,
        sum(
            CASE
                WHEN k.debit_account IN ('external', 'fees') THEN e.amount
                WHEN k.credit_account IN ('external', 'fees') THEN -e.amount
                ELSE 0
            END
        ) AS net
    FROM ledger.entries e
    INNER JOIN ledger.kinds k ON e.kind = k.kind
    GROUP BY e.merchant_id, e.currency
) f ON b.merchant_id = f.merchant_id AND b.currency = f.currency
GROUP BY GROUPING SETS ((b.merchant_id, b.currency), (b.currency))
HAVING sum(b.available + b.held) <> coalesce(sum(f.net), 0);

COMMENT ON VIEW audit.money_not_conserved IS 'Money in is available + held + paid out + fees, per merchant and in total.';
