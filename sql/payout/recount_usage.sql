-- Promises: what is counted towards the merchant's limits under these rules is what is held or was paid since the day or hour of p_now
-- began. The holds of that time are found by their place in the ledger; nothing older is read.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.recount_usage(p_merchant_id uuid, p_rules merchant.rules, p_now timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_after bigint;
BEGIN
    DELETE FROM payout.usage u
    WHERE u.merchant_id = p_merchant_id AND u.currency = p_rules.currency;
    IF num_nonnulls(p_rules.daily_limit, p_rules.account_daily_limit, p_rules.hourly_payouts) = 0 THEN
        RETURN;
    END IF;

    SELECT e.seq INTO v_after
    FROM ledger.position_at(
        p_merchant_id => p_merchant_id,
        p_currency => p_rules.currency,
        p_at => payout.period_start('day', p_now, p_rules.time_zone)
    ) e;

    INSERT INTO payout.usage (merchant_id, currency, period, bank_account_id, starts_at, amount, payouts)
    SELECT
        p_merchant_id,
        p_rules.currency,
        d.period,
        CASE d.period WHEN 'account_day' THEN p.bank_account_id ELSE '' END,
        payout.period_start(d.period, p_now, p_rules.time_zone),
        sum(p.amount),
        count(*)
    FROM ledger.entries e
    INNER JOIN payout.payouts p ON p.merchant_id = p_merchant_id AND e.payout_id = p.payout_id
    CROSS JOIN (VALUES ('day'), ('account_day'), ('hour')) d (period)
    WHERE
        e.merchant_id = p_merchant_id
        AND e.currency = p_rules.currency
        AND e.seq > coalesce(v_after, 0)
        AND e.kind = 'hold'
        AND p.held_at >= payout.period_start(d.period, p_now, p_rules.time_zone)
        AND p.status IN ('awaiting_approval', 'pending', 'processing', 'settled', 'returned')
    GROUP BY d.period, 4;
END
$$;
