-- Promises: what was said about payouts' outcomes is kept, whether it changed the payout, contradicts it or told nothing final;
-- and whether the bank said it, or a person did. All of a call at once: each statement costs as much as several rows of it.
-- Lock: expects the merchants'.
CREATE OR REPLACE FUNCTION rail.record_evidence(p_evidence rail.evidence[])
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO rail.evidence (
        merchant_id, evidence_id, payout_id, attempt, recorded_at, outcome, effect, code, reason, source, actor, answer, answer_hash
    )
    SELECT
        e.merchant_id,
        e.evidence_id,
        e.payout_id,
        e.attempt,
        e.recorded_at,
        e.outcome,
        e.effect,
        e.code,
        left(e.reason, 500),
        CASE session_user WHEN 'payrail_worker' THEN 'bank' ELSE 'operator' END,
        e.actor,
        e.answer,
        sha256(convert_to(e.answer::text, 'UTF8'))
    FROM unnest(p_evidence) e;
END
$$;
