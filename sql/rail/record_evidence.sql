-- Promises: what was said about a payout's outcome is kept, whether it changed the payout, contradicts it or told nothing final;
-- and whether the bank said it, or a person did.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.record_evidence(
    p_merchant_id uuid,
    p_payout_id uuid,
    p_attempt integer,
    p_outcome text,
    p_effect text,
    p_code text,
    p_reason text,
    p_actor text,
    p_answer jsonb
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO rail.evidence (
        merchant_id, payout_id, attempt, outcome, effect, code, reason, source, actor, answer, answer_hash
    )
    VALUES (
        p_merchant_id,
        p_payout_id,
        p_attempt,
        p_outcome,
        p_effect,
        p_code,
        left(p_reason, 500),
        CASE session_user WHEN 'payrail_worker' THEN 'bank' ELSE 'operator' END,
        p_actor,
        p_answer,
        sha256(convert_to(p_answer::text, 'UTF8'))
    );
END
$$;
