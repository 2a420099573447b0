-- Promises: each processing payout that the bank has paid is settled, its hold leaves the ledger, and the bank's
-- answer is kept, in one commit. Said again with the same UTR: no effect. Said of a payout in any other state:
-- nothing changes, and the answer is kept as contradicting.
-- Effects: applied, repeated, contradicted; refused with a detail when the payout or the UTR is no such thing.
-- Lock: the merchant's.
-- Raises: PR111 no array, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.settle_payouts(
    p_merchant_id uuid, p_settlements payrail.settlement[], p_actor text DEFAULT NULL
)
RETURNS TABLE (payout_id uuid, effect text, status text, detail text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_settlement payrail.settlement;
    v_payout payout.payouts;
    v_now timestamptz := clock_timestamp();
BEGIN
    IF p_settlements IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'settlements');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);

    FOREACH v_settlement IN ARRAY p_settlements LOOP
        payout_id := v_settlement.payout_id;
        detail := NULL;
        SELECT p.* INTO v_payout
        FROM payout.payouts p
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_settlement.payout_id;
        status := v_payout.status;

        IF NOT FOUND THEN
            effect := 'refused';
            detail := 'payout_not_found';
        ELSIF length(v_settlement.utr) BETWEEN 1 AND 35 IS NOT TRUE THEN
            effect := 'refused';
            detail := 'utr_invalid';
        ELSIF v_payout.utr = v_settlement.utr THEN
            effect := 'repeated';
        ELSIF v_payout.status = 'processing' THEN
            effect := 'applied';
            status := 'settled';
            UPDATE payout.payouts p
            SET
                status = 'settled',
                utr = v_settlement.utr,
                settled_at = v_now,
                next_action_at = NULL,
                unknown_reason = NULL,
                actor = payrail.actor(p_actor),
                reason = NULL
            WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_settlement.payout_id;
        ELSE
            effect := 'contradicted';
        END IF;

        IF effect IN ('applied', 'contradicted') THEN
            PERFORM rail.record_evidence(
                p_merchant_id, payout_id, 'paid', effect, v_settlement.utr, payrail.actor(p_actor), v_settlement.answer
            );
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.settle_payouts IS
'Records that the bank has paid these payouts of one merchant. Per payout: applied, repeated (same UTR again),
contradicted (kept as evidence, nothing changed) or refused (detail says why).';
