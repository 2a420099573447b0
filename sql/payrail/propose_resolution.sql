-- Promises: how a case is to be resolved, in the name of whoever is signed in with this session; nothing happens before another operator
-- agrees. settle and fail are for a payout that is still processing, and need the UTR or one of payrail.failure_codes; close, for
-- what was cleared elsewhere, changes no money, and is not for a payout whose outcome nobody knows.
-- Lock: none but the case's open proposal, of which there is one.
-- Raises: PR109 no UTR, PR110 no such failure code, PR111 action or note, PR201 the payout is not processing, PR209 the case is
-- closed, PR210 a proposal is waiting, PR241 to close, while what became of the payout is unknown, PR406 no such case, PR503 nobody is
-- signed in with it.
CREATE OR REPLACE FUNCTION payrail.propose_resolution(
    p_session_hash bytea, p_case_id uuid, p_action text, p_code text, p_note text
)
RETURNS SETOF payrail.cases
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_operator text;
    v_case rail.cases;
    v_status text;
    v_field text;
BEGIN
    SELECT s.* INTO v_operator FROM payrail.resume_operator_session(p_session_hash) s;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session is over' USING ERRCODE = 'PR503';
    END IF;
    v_field := CASE
        WHEN p_action IN ('settle', 'fail', 'close') IS NOT TRUE THEN 'action'
        WHEN length(btrim(p_note)) BETWEEN 1 AND 1000 IS NOT TRUE OR p_note ~ '[^[:print:][:space:]]' THEN 'note'
        WHEN p_action = 'close' AND p_code IS NOT NULL THEN 'code'
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;

    SELECT c.* INTO v_case FROM rail.cases c WHERE c.case_id = p_case_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such case' USING ERRCODE = 'PR406', DETAIL = json_build_object('field', 'case_id', 'case_id', p_case_id);
    END IF;
    IF v_case.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'the case is closed' USING ERRCODE = 'PR209', DETAIL = json_build_object('field', 'case_id');
    END IF;
    SELECT p.status INTO v_status
    FROM payout.payouts p
    WHERE p.merchant_id = v_case.merchant_id AND p.payout_id = v_case.payout_id;
    -- the bank is asked on, and would open it again
    IF p_action = 'close' AND v_case.kind = 'outcome_unknown' AND v_status = 'processing' THEN
        PERFORM payrail.raise_effect(v_case.payout_id, 'refused', v_status, 'outcome_still_unknown');
    END IF;
    IF p_action <> 'close' THEN
        IF v_status = 'processing' IS NOT TRUE THEN
            RAISE EXCEPTION 'the payout can not go from its status to the one asked for'
                USING ERRCODE = 'PR201', DETAIL = json_build_object('field', 'action', 'current_status', v_status);
        END IF;
        PERFORM payrail.raise_effect(
            v_case.payout_id, 'refused', v_status,
            CASE
                WHEN p_action = 'settle' AND length(p_code) BETWEEN 1 AND 35 IS NOT TRUE THEN 'utr_invalid'
                WHEN p_action = 'fail' AND NOT EXISTS (SELECT FROM payout.failure_codes f WHERE f.code = p_code)
                    THEN 'failure_code_unknown'
            END
        );
    END IF;

    INSERT INTO rail.proposals (case_id, action, code, note, proposed_by)
    VALUES (p_case_id, p_action, p_code, btrim(p_note), v_operator)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a proposal is waiting for this case'
            USING ERRCODE = 'PR210', DETAIL = json_build_object('field', 'case_id');
    END IF;
    INSERT INTO merchant.operator_actions (actor, action, merchant_id, object, detail)
    VALUES (
        payrail.actor(v_operator), 'resolution_proposed', v_case.merchant_id, p_case_id::text,
        jsonb_build_object('action', p_action, 'code', p_code, 'note', btrim(p_note))
    );

    RETURN QUERY
    SELECT c.*
    FROM payrail.cases c
    WHERE c.case_id = p_case_id;
END
$$;

COMMENT ON FUNCTION payrail.propose_resolution IS
'Proposes how to resolve a case: settle (p_code is the UTR), fail (p_code is a failure code) or close, with a note that says how one
knows. Who proposes is taken from the session of the console. It happens when another operator confirms it.';
