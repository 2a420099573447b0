CREATE OR REPLACE VIEW audit.unescalated AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.attempts,
    p.send_before,
    p.next_action_at
FROM payout.payouts p
INNER JOIN merchant.bank_accounts b ON p.merchant_id = b.merchant_id AND p.bank_account_id = b.bank_account_id
INNER JOIN rail.rails r ON b.rail = r.rail
WHERE
    p.status = 'processing'
    -- the bank is asked at least every twelve and a half minutes
    AND p.send_before + r.finality < now() - interval '15 minutes'
    AND NOT EXISTS (
        SELECT
        FROM rail.cases c
        WHERE c.merchant_id = p.merchant_id AND c.payout_id = p.payout_id AND c.closed_at IS NULL
    );

COMMENT ON VIEW audit.unescalated IS 'Every outcome that stays unknown beyond its bank''s finality time is an open case.';
