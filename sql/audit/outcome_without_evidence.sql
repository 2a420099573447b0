CREATE OR REPLACE VIEW audit.outcome_without_evidence AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.status
FROM payout.payouts p
WHERE
    p.status IN ('settled', 'failed', 'returned')
    -- what was never held has never been to a bank
    AND p.held_at IS NOT NULL
    AND NOT EXISTS (
        SELECT
        FROM rail.evidence e
        WHERE
            e.merchant_id = p.merchant_id
            AND e.payout_id = p.payout_id
            AND e.effect = 'applied'
            AND (e.outcome, e.code) = (
                CASE p.status WHEN 'settled' THEN 'paid' WHEN 'failed' THEN 'refused' ELSE 'returned' END,
                CASE p.status WHEN 'settled' THEN p.utr WHEN 'failed' THEN p.failure_code ELSE p.return_code END
            )
    );

COMMENT ON VIEW audit.outcome_without_evidence IS 'Every settled, failed or returned payout has the evidence that says so.';
