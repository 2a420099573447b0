CREATE OR REPLACE VIEW payrail.rules AS
SELECT
    r.merchant_id,
    r.currency,
    r.approve_from,
    r.second_approval_from,
    r.approval_expires_after,
    r.queue_expires_after,
    r.payout_limit,
    r.daily_limit,
    r.account_daily_limit,
    r.hourly_payouts,
    r.over_limit,
    r.time_zone,
    r.set_at,
    r.set_by,
    coalesce(d.amount, 0) AS used_today,
    coalesce(h.payouts, 0) AS payouts_this_hour
FROM merchant.rules r
LEFT JOIN payout.usage d
    ON
        r.merchant_id = d.merchant_id
        AND r.currency = d.currency
        AND d.period = 'day'
        AND d.bank_account_id = ''
        AND d.starts_at >= date_trunc('day', now(), r.time_zone)
LEFT JOIN payout.usage h
    ON
        r.merchant_id = h.merchant_id
        AND r.currency = h.currency
        AND h.period = 'hour'
        AND h.bank_account_id = ''
        AND h.starts_at >= date_trunc('hour', now(), r.time_zone);

COMMENT ON VIEW payrail.rules IS
'What of each merchant has to be approved and how much may be paid, by currency, and how much of it is used. Amounts in minor units.';
