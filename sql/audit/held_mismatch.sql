CREATE OR REPLACE VIEW audit.held_mismatch AS
SELECT
    b.merchant_id,
    b.currency,
    b.held,
    coalesce(o.amount, 0) AS open_payouts
FROM payrail.balances b
LEFT JOIN (
    SELECT
        p.merchant_id,
        p.currency,
        sum(p.amount + p.fee) AS amount
    FROM payout.payouts p
    WHERE p.held_at IS NOT NULL AND p.status IN ('awaiting_approval', 'pending', 'processing')
    GROUP BY p.merchant_id, p.currency
) o ON b.merchant_id = o.merchant_id AND b.currency = o.currency
WHERE b.held <> coalesce(o.amount, 0);

COMMENT ON VIEW audit.held_mismatch IS 'Held money is the sum of the open payouts and their fees.';
