-- Promises: from now on these are all rules of the merchant for payouts in this currency; what is not given is not limited, and needs
-- no approval. Limits by the day or hour begin with what is held or was paid since the day or hour began: one sum, now, so that
-- nothing has to be summed later. Payouts that are there keep the number of approvals that they need. With p_session_hash, who did it
-- is whoever is signed in to the console with it. One row in the log of actions; none if nothing changes.
-- Lock: the merchant's.
-- Raises: PR102, PR153 a rule that is none, PR401, PR503 nobody is signed in with it, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.set_rules(
    p_merchant_id uuid,
    p_currency text DEFAULT 'INR',
    p_approve_from bigint DEFAULT NULL,
    p_second_approval_from bigint DEFAULT NULL,
    p_payout_limit bigint DEFAULT NULL,
    p_daily_limit bigint DEFAULT NULL,
    p_account_daily_limit bigint DEFAULT NULL,
    p_hourly_payouts integer DEFAULT NULL,
    p_over_limit text DEFAULT 'reject',
    p_time_zone text DEFAULT 'UTC',
    p_approval_expires_after interval DEFAULT '7 days',
    p_queue_expires_after interval DEFAULT '30 days',
    p_actor text DEFAULT NULL,
    p_session_hash bytea DEFAULT NULL
)
RETURNS SETOF payrail.rules
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text;
    v_actor text;
    v_now timestamptz;
    v_known merchant.rules;
    v_rules merchant.rules;
BEGIN
    v_now := merchant.lock_merchant(p_merchant_id);
    v_actor := payrail.acting(p_actor, p_session_hash);
    IF NOT EXISTS (SELECT FROM ledger.currencies c WHERE c.currency = p_currency) THEN
        RAISE EXCEPTION 'currency must be the ISO 4217 code of a supported currency, such as INR'
            USING ERRCODE = 'PR102', DETAIL = json_build_object('field', 'currency');
    END IF;
    v_field := CASE
        WHEN p_approve_from NOT BETWEEN 1 AND 1000000000000000 THEN 'approve_from'
        WHEN p_second_approval_from NOT BETWEEN coalesce(p_approve_from, 1000000000000001) AND 1000000000000000
            OR p_second_approval_from IS NOT NULL AND p_approve_from IS NULL THEN 'second_approval_from'
        WHEN p_payout_limit NOT BETWEEN 1 AND 1000000000000000 THEN 'payout_limit'
        WHEN p_daily_limit NOT BETWEEN 1 AND 1000000000000000000 THEN 'daily_limit'
        WHEN p_account_daily_limit NOT BETWEEN 1 AND 1000000000000000000 THEN 'account_daily_limit'
        WHEN p_hourly_payouts < 1 THEN 'hourly_payouts'
        WHEN p_over_limit IN ('reject', 'approve') IS NOT TRUE THEN 'over_limit'
        WHEN NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = p_time_zone) THEN 'time_zone'
        WHEN p_approval_expires_after BETWEEN INTERVAL '1 minute' AND INTERVAL '366 days' IS NOT TRUE THEN 'approval_expires_after'
        WHEN p_queue_expires_after BETWEEN INTERVAL '1 minute' AND INTERVAL '366 days' IS NOT TRUE THEN 'queue_expires_after'
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'not a rule'
            USING ERRCODE = 'PR153', DETAIL = json_build_object('field', v_field), HINT = CASE v_field
                WHEN 'hourly_payouts' THEN 'It must be 1 or more.'
                WHEN 'over_limit' THEN 'It must be reject or approve.'
                WHEN 'time_zone' THEN 'It must be one of pg_timezone_names, such as Asia/Kolkata.'
                WHEN 'second_approval_from' THEN 'It must be approve_from or more.'
                WHEN 'approval_expires_after' THEN 'It must be 1 minute to 366 days.'
                WHEN 'queue_expires_after' THEN 'It must be 1 minute to 366 days.'
                ELSE 'It must be a whole number of minor units from 1 on.'
            END;
    END IF;

    SELECT r.* INTO v_known
    FROM merchant.rules r
    WHERE r.merchant_id = p_merchant_id AND r.currency = p_currency;
    v_rules := ROW(
        p_merchant_id, p_currency, p_approve_from, p_second_approval_from, p_approval_expires_after, p_queue_expires_after,
        p_payout_limit, p_daily_limit, p_account_daily_limit, p_hourly_payouts, p_over_limit, p_time_zone,
        v_known.set_at, v_known.set_by
    );
    IF v_rules IS DISTINCT FROM v_known THEN
        v_rules.set_at := v_now;
        v_rules.set_by := v_actor;
        INSERT INTO merchant.rules AS r (
            merchant_id, currency, approve_from, second_approval_from, approval_expires_after, queue_expires_after, payout_limit,
            daily_limit, account_daily_limit, hourly_payouts, over_limit, time_zone, set_at, set_by
        )
        SELECT (v_rules).*
        ON CONFLICT (merchant_id, currency) DO UPDATE SET
        approve_from = EXCLUDED.approve_from,
        second_approval_from = EXCLUDED.second_approval_from,
        approval_expires_after = EXCLUDED.approval_expires_after,
        queue_expires_after = EXCLUDED.queue_expires_after,
        payout_limit = EXCLUDED.payout_limit,
        daily_limit = EXCLUDED.daily_limit,
        account_daily_limit = EXCLUDED.account_daily_limit,
        hourly_payouts = EXCLUDED.hourly_payouts,
        over_limit = EXCLUDED.over_limit,
        time_zone = EXCLUDED.time_zone,
        set_at = EXCLUDED.set_at,
        set_by = EXCLUDED.set_by;
        PERFORM payout.recount_usage(p_merchant_id, v_rules, v_now);
        INSERT INTO merchant.operator_actions (actor, action, merchant_id, object, detail)
        VALUES (v_actor, 'rules_set', p_merchant_id, p_currency, to_jsonb(v_rules) - 'merchant_id' - 'currency' - 'set_at' - 'set_by');
    END IF;

    RETURN QUERY
    SELECT r.*
    FROM payrail.rules r
    WHERE r.merchant_id = p_merchant_id AND r.currency = p_currency;
END
$$;

COMMENT ON FUNCTION payrail.set_rules IS
'Sets all rules of a merchant for one currency: from which amount one person or two have to approve, and the limits of one payout, of a
day, of a day to one bank account, and of payouts in an hour; p_over_limit: reject, or approve to ask for an approval. NULL is no rule.
Days begin at midnight in p_time_zone. Amounts in minor units.';
