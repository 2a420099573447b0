-- Promises: as payrail.record_answers for payouts that the bank has finally refused. Only the codes of payrail.failure_codes are a
-- final no. One person's word is not enough where money may be lost by it: not_executed is what people say of an instruction that the
-- bank does not know, and of a payout with an open case outcome_unknown the bank has told nothing; both take two of them
-- (payrail.propose_resolution), so here they are refused (second_operator_needed). So is what a worker or a file may still take to the
-- bank, and the bank may still execute (resolution_too_early).
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
    v_now timestamptz;
BEGIN
    IF p_refusals IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'refusals');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);
    v_now := rail.clock();

    RETURN QUERY
    WITH refusals AS MATERIALIZED (
        SELECT
            f.*,
            p.status::text AS found_status,
            CASE
                WHEN p.payout_id IS NULL THEN NULL
                WHEN f.failure_code = 'not_executed' THEN 'second_operator_needed'
                WHEN p.status <> 'processing' OR NOT EXISTS (SELECT FROM payout.failure_codes c WHERE c.code = f.failure_code) THEN NULL
                WHEN EXISTS (
                    SELECT
                    FROM rail.cases c
                    WHERE
                        c.merchant_id = p_merchant_id
                        AND c.payout_id = p.payout_id
                        AND c.kind = 'outcome_unknown'
                        AND c.closed_at IS NULL
                ) THEN 'second_operator_needed'
                WHEN v_now <= rail.final_at(p_merchant_id, p) THEN 'resolution_too_early'
            END AS objection
        FROM unnest(p_refusals) WITH ORDINALITY f (payout_id, failure_code, reason, answer, place)
        LEFT JOIN payout.payouts p ON p.merchant_id = p_merchant_id AND f.payout_id = p.payout_id
    )

    SELECT r.*
    FROM payrail.record_answers(
        p_merchant_id => p_merchant_id,
        p_answers => ARRAY(
            SELECT ROW(f.payout_id, 'refused', f.failure_code, NULL, f.reason, f.answer, NULL)::payrail.bank_answer
            FROM refusals f
            WHERE f.objection IS NULL
            ORDER BY f.place
        ),
        p_actor => p_actor
    ) r
    UNION ALL
    SELECT
        f.payout_id,
        'refused',
        f.found_status,
        f.objection
    FROM refusals f
    WHERE f.objection IS NOT NULL;
END
$$;

COMMENT ON FUNCTION payrail.fail_payouts IS
'Records the bank''s final refusal of these payouts of one merchant and releases their money, when the bank can not execute them any
more. Per payout: applied, repeated (same code again), contradicted (kept as evidence, nothing changed) or refused (detail says why).';
