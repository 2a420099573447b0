-- Promises: a merchant's rules for one currency, as the API shows them. Amounts in minor units.
CREATE OR REPLACE FUNCTION payrail.rules_json(p_rules payrail.rules)
RETURNS json
LANGUAGE sql
STABLE
RETURN json_build_object(
    'currency', (p_rules).currency,
    'approve_from', (p_rules).approve_from,
    'second_approval_from', (p_rules).second_approval_from,
    'approval_expires_after_seconds', extract(EPOCH FROM (p_rules).approval_expires_after)::bigint,
    'queue_expires_after_seconds', extract(EPOCH FROM (p_rules).queue_expires_after)::bigint,
    'payout_limit', (p_rules).payout_limit,
    'daily_limit', (p_rules).daily_limit,
    'account_daily_limit', (p_rules).account_daily_limit,
    'hourly_payouts', (p_rules).hourly_payouts,
    'over_limit', (p_rules).over_limit,
    'time_zone', (p_rules).time_zone,
    'used_today', (p_rules).used_today,
    'payouts_this_hour', (p_rules).payouts_this_hour,
    'set_at', payrail.utc((p_rules).set_at)
);

COMMENT ON FUNCTION payrail.rules_json IS 'A merchant''s rules for one currency as the API shows them. Amounts in minor units.';
