-- Promises: each processing payout that the bank has finally refused is failed and its money available again, and
-- the bank's answer is kept, in one commit. Only the codes of payrail.failure_codes are a final no. Said again with
-- the same code: no effect. Said of a payout in any other state: nothing changes, kept as contradicting.
-- Effects: applied, repeated, contradicted; refused with a detail when the payout or the code is no such thing.
-- Lock: the merchant's.
-- Raises: PR111 no array, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.fail_payouts(
    p_merchant_id uuid, p_refusals payrail.refusal[], p_actor text DEFAULT NULL
)
RETURNS TABLE (payout_id uuid, effect text, status text, detail text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_refusal payrail.refusal;
    v_payout payout.payouts;
BEGIN
    IF p_refusals IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'refusals');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);

    FOREACH v_refusal IN ARRAY p_refusals LOOP
        payout_id := v_refusal.payout_id;
        detail := NULL;
        SELECT p.* INTO v_payout
        FROM payout.payouts p
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_refusal.payout_id;
        status := v_payout.status;

        IF NOT FOUND THEN
            effect := 'refused';
            detail := 'payout_not_found';
        ELSIF NOT EXISTS (SELECT FROM payout.failure_codes f WHERE f.code = v_refusal.failure_code) THEN
            effect := 'refused';
            detail := 'failure_code_unknown';
        ELSIF v_payout.failure_code = v_refusal.failure_code THEN
            effect := 'repeated';
        ELSIF v_payout.status = 'processing' THEN
            effect := 'applied';
            status := 'failed';
            UPDATE payout.payouts p
            SET
                status = 'failed',
                failure_code = v_refusal.failure_code,
                failure_reason = left(v_refusal.reason, 500),
                next_action_at = NULL,
                unknown_reason = NULL,
                actor = payrail.actor(p_actor),
                reason = v_refusal.failure_code
            WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_refusal.payout_id;
        ELSE
            effect := 'contradicted';
        END IF;

        IF effect IN ('applied', 'contradicted') THEN
            PERFORM rail.record_evidence(
                p_merchant_id, payout_id, 'refused', effect, v_refusal.failure_code, payrail.actor(p_actor), v_refusal.answer
            );
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.fail_payouts IS
'Records the bank''s final refusal of these payouts of one merchant and releases their money. Per payout: applied,
repeated (same code again), contradicted (kept as evidence, nothing changed) or refused (detail says why).';
