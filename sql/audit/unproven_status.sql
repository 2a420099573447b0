CREATE OR REPLACE VIEW audit.unproven_status AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.status
FROM payout.payouts p
WHERE NOT payout.has_its_proof(p);

COMMENT ON VIEW audit.unproven_status IS 'Every payout carries what its status must be able to show.';
