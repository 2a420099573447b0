-- Promises: what was said about a payout's outcome is kept, whether it changed the payout or contradicts it.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.record_evidence(
    p_merchant_id uuid, p_payout_id uuid, p_outcome text, p_effect text, p_code text, p_actor text, p_answer jsonb
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO rail.evidence (merchant_id, payout_id, outcome, effect, code, actor, answer)
    VALUES (p_merchant_id, p_payout_id, p_outcome, p_effect, p_code, p_actor, p_answer);
END
$$;
