-- Promises: a proposal is confirmed by another operator than the one who made it, and then happens at once; or it is rejected, by either,
-- and the case stays open. Who decides is taken from the session.
-- Lock: the merchant's, if the case is about a payout.
-- Raises: PR201, PR202 the payout has ended meanwhile, PR209 the case was closed meanwhile, PR407 no such proposal is waiting, PR503
-- nobody is signed in with it, PR504 it is one's own; PR211 to fail is too early, as the bank may still execute what was sent last; PR241
-- to close, while what became of the payout is unknown.
CREATE OR REPLACE FUNCTION payrail.decide_resolution(p_session_hash bytea, p_proposal_id uuid, p_confirm boolean)
RETURNS SETOF payrail.cases
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_operator text;
    v_case rail.cases;
    v_proposal rail.proposals;
    v_now timestamptz;
    v_payout payout.payouts;
    v_final_at timestamptz;
    v_actor text;
BEGIN
    SELECT c.* INTO v_case
    FROM rail.proposals o
    INNER JOIN rail.cases c ON o.case_id = c.case_id
    WHERE o.proposal_id = p_proposal_id;
    IF v_case.merchant_id IS NOT NULL THEN
        PERFORM merchant.lock_merchant(v_case.merchant_id);
    END IF;
    SELECT s.* INTO v_operator FROM payrail.resume_operator_session(p_session_hash) s;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session is over' USING ERRCODE = 'PR503';
    END IF;
    v_now := rail.clock();

    UPDATE rail.proposals o
    SET
        decided_at = v_now,
        decided_by = v_operator,
        decision = CASE WHEN p_confirm THEN 'confirmed' ELSE 'rejected' END
    WHERE o.proposal_id = p_proposal_id AND o.decided_at IS NULL AND (o.proposed_by <> v_operator OR NOT p_confirm)
    RETURNING o.* INTO v_proposal;
    IF NOT FOUND THEN
        PERFORM FROM rail.proposals o WHERE o.proposal_id = p_proposal_id AND o.decided_at IS NULL;
        IF FOUND THEN
            RAISE EXCEPTION 'a resolution takes two operators' USING ERRCODE = 'PR504', DETAIL = json_build_object('field', 'proposal_id');
        END IF;
        RAISE EXCEPTION 'no such proposal is waiting'
            USING ERRCODE = 'PR407', DETAIL = json_build_object('field', 'proposal_id', 'proposal_id', p_proposal_id);
    END IF;

    IF p_confirm THEN
        v_actor := v_proposal.proposed_by || '+' || v_operator;
        UPDATE rail.cases c
        SET
            closed_at = v_now,
            closed_by = payrail.actor(v_actor),
            resolution = v_proposal.action || coalesce(' ' || v_proposal.code, '') || ': ' || v_proposal.note
        WHERE c.case_id = v_case.case_id AND c.closed_at IS NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the case is closed' USING ERRCODE = 'PR209', DETAIL = json_build_object('field', 'proposal_id');
        END IF;
        SELECT p.* INTO v_payout
        FROM payout.payouts p
        WHERE p.merchant_id = v_case.merchant_id AND p.payout_id = v_case.payout_id AND p.status = 'processing';
        -- a worker may have it in hand, or a file that has not left: money given back while it leaves is money lost
        v_final_at := rail.final_at(v_case.merchant_id, v_payout);
        IF v_proposal.action = 'fail' AND v_now <= v_final_at THEN
            RAISE EXCEPTION 'the bank may still execute the instruction'
                USING ERRCODE = 'PR211',
                    DETAIL = json_build_object(
                        'field', 'proposal_id',
                        -- null: it is in a file that has not left
                        'final_at', CASE WHEN isfinite(v_final_at) THEN payrail.utc(v_final_at) END
                    );
        END IF;
        IF v_proposal.action = 'close' AND v_case.kind = 'outcome_unknown' AND v_payout.payout_id IS NOT NULL THEN
            PERFORM payrail.raise_effect(v_payout.payout_id, 'refused', v_payout.status, 'outcome_still_unknown');
        END IF;
        IF v_proposal.action <> 'close' THEN
            PERFORM payrail.raise_effect(
                r.payout_id, CASE r.effect WHEN 'repeated' THEN 'contradicted' ELSE r.effect END, r.status, r.detail
            )
            FROM payrail.record_answers(
                p_merchant_id => v_case.merchant_id,
                p_answers => ARRAY[
                    ROW(
                        v_case.payout_id,
                        CASE v_proposal.action WHEN 'settle' THEN 'paid' ELSE 'refused' END,
                        CASE v_proposal.action WHEN 'fail' THEN v_proposal.code END,
                        CASE v_proposal.action WHEN 'settle' THEN v_proposal.code END,
                        NULL,
                        jsonb_build_object(
                            'proposal_id', p_proposal_id, 'note', v_proposal.note,
                            'proposed_by', v_proposal.proposed_by, 'confirmed_by', v_operator
                        ),
                        NULL
                    )::payrail.bank_answer
                ],
                p_actor => v_actor
            ) r;
        END IF;
    END IF;
    INSERT INTO merchant.operator_actions (actor, action, merchant_id, object, detail)
    VALUES (
        payrail.actor(v_operator),
        CASE WHEN p_confirm THEN 'resolution_confirmed' ELSE 'resolution_rejected' END,
        v_case.merchant_id,
        v_case.case_id::text,
        jsonb_build_object('action', v_proposal.action, 'code', v_proposal.code, 'proposed_by', v_proposal.proposed_by)
    );

    RETURN QUERY
    SELECT c.*
    FROM payrail.cases c
    WHERE c.case_id = v_case.case_id;
END
$$;

COMMENT ON FUNCTION payrail.decide_resolution IS
'Confirms a proposal, which then happens, or rejects it. Who decides is taken from the session of the console; confirming takes another
operator than the one who proposed.';
