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
LEFT JOIN rail.filed_instructions f ON p.rail_ref = f.rail_ref
LEFT JOIN rail.payment_files k ON f.file_id = k.file_id
WHERE
    p.status = 'processing'
    -- the bank is asked at least as often as rail.postpone_payout says, and a worker may be late
    AND greatest(p.send_before, k.sent_at) + r.finality
    < now() - 1.25 * greatest(interval '10 minutes', r.finality / 48) - interval '150 seconds'
    AND NOT EXISTS (
        SELECT
        FROM rail.cases c
        WHERE c.merchant_id = p.merchant_id AND c.payout_id = p.payout_id AND c.closed_at IS NULL
    );

COMMENT ON VIEW audit.unescalated IS 'Every outcome that stays unknown beyond its bank''s finality time is an open case.';
