CREATE OR REPLACE VIEW payrail.evidence AS
SELECT
    e.merchant_id,
    e.payout_id,
    e.evidence_id,
    e.outcome,
    e.effect,
    e.code,
    e.actor,
    e.answer,
    e.recorded_at
FROM rail.evidence e;

COMMENT ON VIEW payrail.evidence IS 'What was said about a payout''s outcome, by whom, and whether it was applied or contradicts the payout.';
