-- Promises: what was just held counts towards the merchant's limits in the periods in which it was held, if it has limits by the day
-- or hour. One row per period is kept: a newer period takes the place of the one before.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.count_usage(
    p_merchant_id uuid, p_rules merchant.rules, p_bank_account_id text, p_amount bigint, p_held_at timestamptz
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF p_held_at IS NULL OR num_nonnulls(p_rules.daily_limit, p_rules.account_daily_limit, p_rules.hourly_payouts) = 0 THEN
        RETURN;
    END IF;

    INSERT INTO payout.usage AS u (merchant_id, currency, period, bank_account_id, starts_at, amount, payouts)
    SELECT
        p_merchant_id,
        p_rules.currency,
        d.period,
        CASE d.period WHEN 'account_day' THEN p_bank_account_id ELSE '' END,
        payout.period_start(d.period, p_held_at, p_rules.time_zone),
        p_amount,
        1
    FROM (VALUES ('day'), ('account_day'), ('hour')) d (period)
    ON CONFLICT (merchant_id, currency, period, bank_account_id) DO UPDATE SET
    starts_at = EXCLUDED.starts_at,
    amount = CASE u.starts_at WHEN EXCLUDED.starts_at THEN u.amount ELSE 0 END + EXCLUDED.amount,
    payouts = CASE u.starts_at WHEN EXCLUDED.starts_at THEN u.payouts ELSE 0 END + EXCLUDED.payouts
    -- the clock may have been set back
    WHERE u.starts_at <= EXCLUDED.starts_at;
END
$$;
