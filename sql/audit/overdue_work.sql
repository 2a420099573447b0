CREATE OR REPLACE VIEW audit.overdue_work AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.status,
    p.attempts,
    p.updated_at,
    p.next_action_at
FROM payout.payouts p
WHERE
    p.next_action_at < now() - interval '5 minutes'
    -- claimed again and again, and never anything recorded: the worker gets as far as the claim
    OR (p.status = 'processing' AND p.unknown_reason IS NULL AND p.updated_at < now() - interval '5 minutes');

COMMENT ON VIEW audit.overdue_work IS 'No work is overdue, and none is claimed without a result, for more than five minutes.';
