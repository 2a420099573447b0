CREATE OR REPLACE VIEW audit.unproven_status AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.status
FROM payout.payouts p
WHERE
    NOT payout.has_its_proof(
        p.status, p.next_action_at, p.send_before, p.settled_at, p.utr, p.failure_code, p.returned_at, p.return_code,
        p.held_at, p.scheduled_at, p.expires_at
    )
    OR (p.failure_code, p.held_at IS NOT NULL) NOT IN (
        SELECT
            f.code,
            f.by_bank
        FROM payout.failure_codes f
    );

COMMENT ON VIEW audit.unproven_status IS 'Every payout carries what its status must be able to show.';
