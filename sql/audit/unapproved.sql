CREATE OR REPLACE VIEW audit.unapproved AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.status,
    p.approvals_required,
    coalesce(a.approved, 0) AS approved
FROM payout.payouts p
LEFT JOIN (
    SELECT
        d.merchant_id,
        d.payout_id,
        count(DISTINCT lower(d.approver)) FILTER (WHERE d.decision = 'approved') AS approved,
        count(*) FILTER (WHERE d.decision = 'rejected') AS rejected,
        array_agg(lower(d.approver)) FILTER (WHERE d.decision = 'approved') AS approvers
    FROM payout.approvals d
    GROUP BY d.merchant_id, d.payout_id
) a ON p.merchant_id = a.merchant_id AND p.payout_id = a.payout_id
WHERE
    (
        p.status IN ('pending', 'processing', 'settled', 'returned') OR p.status = 'failed' AND p.held_at IS NOT NULL
    ) AND coalesce(a.approved, 0) < p.approvals_required
    OR (p.status = 'rejected') <> (coalesce(a.rejected, 0) > 0)
    OR a.approvers @> ARRAY[lower(p.created_by)];

COMMENT ON VIEW audit.unapproved IS 'What went on was approved as often as it had to be, never by the one who asked, and what is rejected was rejected by somebody.';
