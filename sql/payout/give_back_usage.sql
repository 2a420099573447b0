-- Promises: what was held at p_held_at and is released does not count towards the merchant's limits any more.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.give_back_usage(
    p_merchant_id uuid, p_currency text, p_bank_account_id text, p_amount bigint, p_held_at timestamptz
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE payout.usage u
    SET
        amount = u.amount - p_amount,
        payouts = u.payouts - 1
    FROM merchant.rules r
    WHERE
        u.merchant_id = p_merchant_id
        AND u.currency = p_currency
        AND u.bank_account_id IN ('', p_bank_account_id)
        AND r.merchant_id = p_merchant_id
        AND r.currency = p_currency
        AND u.starts_at = payout.period_start(u.period, p_held_at, r.time_zone);
END
$$;
