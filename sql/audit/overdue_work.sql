CREATE OR REPLACE VIEW audit.overdue_work AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.status,
    p.next_action_at
FROM payout.payouts p
WHERE p.next_action_at < now() - interval '5 minutes';

COMMENT ON VIEW audit.overdue_work IS 'No work is overdue for more than five minutes.';
