-- Promises: as payrail.record_answers for payouts that the bank has finally refused. Only the codes of payrail.failure_codes are a
-- final no, and not_executed is what people say of an instruction that the bank does not know: it takes two of them
-- (payrail.propose_resolution), so here it is refused.
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
            WHERE f.failure_code IS DISTINCT FROM 'not_executed'
            ORDER BY f.place
        ),
        p_actor => p_actor
    ) r
    UNION ALL
    SELECT
        p.payout_id,
        'refused',
        p.status::text,
        'second_operator_needed'
    FROM unnest(p_refusals) f
    INNER JOIN payout.payouts p ON p.merchant_id = p_merchant_id AND f.payout_id = p.payout_id
    WHERE f.failure_code = 'not_executed';
END
$$;

COMMENT ON FUNCTION payrail.fail_payouts IS
'Records the bank''s final refusal of these payouts of one merchant and releases their money. Per payout: applied,
repeated (same code again), contradicted (kept as evidence, nothing changed) or refused (detail says why).';
