CREATE OR REPLACE VIEW audit.usage_mismatch AS
SELECT
    u.merchant_id,
    u.currency,
    u.period,
    u.bank_account_id,
    u.amount,
    u.payouts,
    c.amount AS counted_amount,
    c.payouts AS counted_payouts
FROM payout.usage u
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(p.amount), 0) AS amount,
        count(*) AS payouts
    FROM payout.payouts p
    WHERE
        p.merchant_id = u.merchant_id
        AND p.currency = u.currency
        AND u.bank_account_id IN ('', p.bank_account_id)
        AND p.held_at >= u.starts_at
        AND p.status IN ('awaiting_approval', 'pending', 'processing', 'settled', 'returned')
) c
WHERE (u.amount, u.payouts) <> (c.amount, c.payouts);

COMMENT ON VIEW audit.usage_mismatch IS 'What is counted towards a merchant''s limits is what was held since, and not given back.';
