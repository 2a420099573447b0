CREATE OR REPLACE VIEW payrail.evidence AS
SELECT
    e.merchant_id,
    e.payout_id,
    e.evidence_id,
    e.attempt,
    e.outcome,
    e.effect,
    e.code,
    e.reason,
    e.source,
    e.actor,
    e.answer,
    e.answer_hash,
    e.recorded_at
FROM rail.evidence e;

COMMENT ON VIEW payrail.evidence IS
'What was said about a payout''s outcome, by the bank or by an operator, and whether it was applied, contradicts the payout or was only
noted. answer_hash is the SHA-256 of the answer''s text.';
