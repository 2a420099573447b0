CREATE OR REPLACE VIEW payrail.approvals AS
SELECT
    a.merchant_id,
    a.payout_id,
    a.approver,
    a.decision,
    a.reason,
    a.decided_at,
    a.actor
FROM payout.approvals a;

COMMENT ON VIEW payrail.approvals IS 'Who approved or rejected which payout, when and why.';
