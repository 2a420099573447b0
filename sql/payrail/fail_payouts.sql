-- Promises: as payrail.record_answers for payouts that the bank has finally refused. Only the codes of payrail.failure_codes are a
-- final no.
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
BEGIN
    IF p_refusals IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'refusals');
    END IF;

    RETURN QUERY
    SELECT r.*
    FROM payrail.record_answers(
        p_merchant_id => p_merchant_id,
        p_answers => ARRAY(
            SELECT ROW(f.payout_id, 'refused', f.failure_code, NULL, f.reason, f.answer, NULL)::payrail.bank_answer
            FROM unnest(p_refusals) WITH ORDINALITY f (payout_id, failure_code, reason, answer, place)
            ORDER BY f.place
        ),
        p_actor => p_actor
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.fail_payouts IS
'Records the bank''s final refusal of these payouts of one merchant and releases their money. Per payout: applied,
repeated (same code again), contradicted (kept as evidence, nothing changed) or refused (detail says why).';
