-- Promises: which limit of these rules one more payout would pass at p_now, in words; NULL if none.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.limit_problem(
    p_merchant_id uuid, p_rules merchant.rules, p_bank_account_id text, p_amount bigint, p_now timestamptz
)
RETURNS text
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_today bigint;
    v_account_today bigint;
    v_this_hour bigint;
BEGIN
    IF p_amount > p_rules.payout_limit THEN
        RETURN format('the amount %s is over the limit of one payout, %s (minor units of %s)', p_amount, p_rules.payout_limit, p_rules.currency);
    END IF;

    SELECT
        coalesce(max(u.amount) FILTER (WHERE u.period = 'day'), 0),
        coalesce(max(u.amount) FILTER (WHERE u.period = 'account_day'), 0),
        coalesce(max(u.payouts) FILTER (WHERE u.period = 'hour'), 0)
    INTO v_today, v_account_today, v_this_hour
    FROM payout.usage u
    WHERE
        u.merchant_id = p_merchant_id
        AND u.currency = p_rules.currency
        AND u.bank_account_id IN ('', p_bank_account_id)
        AND u.starts_at >= payout.period_start(u.period, p_now, p_rules.time_zone);

    RETURN CASE
        WHEN v_today + p_amount > p_rules.daily_limit THEN format(
            'the amount %s and the %s of today would be over the daily limit, %s (minor units of %s)',
            p_amount, v_today, p_rules.daily_limit, p_rules.currency
        )
        WHEN v_account_today + p_amount > p_rules.account_daily_limit THEN format(
            'the amount %s and the %s of today to this bank account would be over its daily limit, %s (minor units of %s)',
            p_amount, v_account_today, p_rules.account_daily_limit, p_rules.currency
        )
        WHEN v_this_hour + 1 > p_rules.hourly_payouts THEN format(
            'there were %s payouts in this hour, and no more than %s may be', v_this_hour, p_rules.hourly_payouts
        )
    END;
END
$$;
