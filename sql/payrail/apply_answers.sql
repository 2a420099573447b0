-- Promises: what a bank said of these payouts is kept and has its effect; one row per answer, in order, and NULLs for one that is NULL.
--   paid       a processing payout is settled, its hold leaves the ledger
--   refused    a processing payout is failed and its money available again, if the code is one of payrail.failure_codes
--   returned   a settled payout is returned and its money available again; a processing one was paid in between
--   not_found  the next claim submits again if the bank executes no reference twice; otherwise it is asked again
--   not_sent   nothing has left: pending again, if no other attempt may have sent it
--   pending, unknown, and what can not be understood: nothing is refunded however often; the bank is asked again after 1 s, 2 s,
--              4 s … up to 10 minutes or more (rail.postpone_payout)
-- A processing payout that stays so beyond its bank's finality time becomes a case for people. Said again: no effect. A final answer
-- that does not fit the payout's status: nothing changes, it is kept as contradicting, and becomes a case. Money that came back goes
-- to what waits in the queue.
-- Effects: applied, repeated, contradicted, noted; refused with a detail when the payout or the answer is no such thing.
-- Lock: expects the merchants'.
CREATE OR REPLACE FUNCTION payrail.apply_answers(p_answers payrail.addressed_answer[], p_actor text)
RETURNS TABLE (payout_id uuid, effect text, status text, detail text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_merchant_id uuid;
    v_said payrail.addressed_answer;
    v_payout payout.payouts;
    v_code text;
    v_actor text := payrail.actor(p_actor);
    v_now timestamptz := rail.clock();
    v_came_back uuid[] := '{}';
    v_evidence rail.evidence[] := '{}';
    v_one rail.evidence;
BEGIN
    FOREACH v_said IN ARRAY p_answers LOOP
        v_merchant_id := v_said.merchant_id;
        payout_id := v_said.payout_id;
        effect := NULL;
        status := NULL;
        detail := NULL;
        IF v_merchant_id IS NULL THEN
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT p.* INTO v_payout
        FROM payout.payouts p
        WHERE p.merchant_id = v_merchant_id AND p.payout_id = v_said.payout_id;
        status := v_payout.status;
        v_code := CASE v_said.outcome WHEN 'paid' THEN v_said.utr WHEN 'refused' THEN v_said.code WHEN 'returned' THEN v_said.code END;

        IF NOT FOUND THEN
            detail := 'payout_not_found';
        ELSIF v_said.outcome IN ('paid', 'returned') AND length(v_said.utr) BETWEEN 1 AND 35 IS NOT TRUE THEN
            detail := 'utr_invalid';
        ELSIF v_said.outcome = 'returned' AND length(v_said.code) BETWEEN 1 AND 35 IS NOT TRUE THEN
            detail := 'return_code_invalid';
        ELSIF v_said.outcome = 'refused' AND NOT EXISTS (SELECT FROM payout.failure_codes f WHERE f.code = v_said.code AND f.by_bank) THEN
            detail := 'failure_code_unknown';
        ELSIF v_said.outcome = 'returned' AND v_payout.return_code IS NULL AND (
            SELECT b.available + b.held + v_payout.amount > 1000000000000000000
            FROM payrail.balances b
            WHERE b.merchant_id = v_merchant_id AND b.currency = v_payout.currency
        ) THEN
            detail := 'balance_limit_exceeded';
        END IF;

        effect := CASE
            WHEN detail IS NOT NULL THEN 'refused'
            WHEN v_said.outcome IN ('pending', 'not_sent', 'unknown') THEN 'noted'
            WHEN v_said.outcome = 'not_found' AND v_payout.status IN ('settled', 'returned')
                AND v_now > rail.final_at(v_merchant_id, v_payout) THEN 'contradicted'
            WHEN v_said.outcome = 'not_found' THEN 'noted'
            WHEN v_said.outcome = 'paid' AND v_payout.utr = v_said.utr THEN 'repeated'
            WHEN v_said.outcome = 'refused' AND v_payout.failure_code = v_said.code THEN 'repeated'
            WHEN v_said.outcome = 'returned' AND (v_payout.utr, v_payout.return_code) = (v_said.utr, v_said.code) THEN 'repeated'
            WHEN v_said.outcome IN ('paid', 'refused', 'returned') AND v_payout.status = 'processing' THEN 'applied'
            WHEN v_said.outcome = 'returned' AND v_payout.status = 'settled' AND v_payout.utr = v_said.utr THEN 'applied'
            ELSE 'contradicted'
        END;

        -- a person who mistypes is told so; a bank that can not be understood has said nothing final
        IF effect = 'refused' AND v_said.attempt IS NOT NULL AND detail <> 'payout_not_found' THEN
            v_said.reason := 'the bank''s answer is not understood: ' || detail;
            v_said.outcome := 'unknown';
            v_code := NULL;
        ELSIF effect = 'refused' THEN
            RETURN NEXT;
            CONTINUE;
        END IF;

        v_one := ROW(
            v_merchant_id, uuidv7(), payout_id, clock_timestamp(), v_said.outcome, effect, coalesce(v_code, v_said.outcome), v_actor,
            v_said.answer, v_said.attempt, v_said.reason, NULL, NULL
        );
        IF effect IN ('noted', 'refused') THEN
            v_one.effect := 'noted';
            v_one.code := NULL;
            -- at once: what becomes of the payout depends on all that was said of its attempts
            PERFORM rail.record_evidence(ARRAY[v_one]);
            status := rail.postpone_payout(v_merchant_id, v_payout, v_said.outcome, v_said.reason, v_said.attempt, v_actor, v_now);
            RETURN NEXT;
            CONTINUE;
        END IF;

        IF effect = 'applied' AND v_payout.status = 'processing' AND v_said.outcome IN ('paid', 'returned') THEN
            status := 'settled';
            UPDATE payout.payouts p
            SET
                status = 'settled',
                utr = v_said.utr,
                settled_at = v_now,
                next_action_at = NULL,
                unknown_reason = NULL,
                actor = v_actor,
                reason = NULL
            WHERE p.merchant_id = v_merchant_id AND p.payout_id = v_said.payout_id;
            v_one.outcome := 'paid';
            v_one.code := v_said.utr;
            v_one.reason := NULL;
            v_evidence := array_append(v_evidence, v_one);
        END IF;
        IF effect = 'applied' AND v_said.outcome = 'returned' THEN
            status := 'returned';
            UPDATE payout.payouts p
            SET
                status = 'returned',
                return_code = v_said.code,
                returned_at = v_now,
                next_action_at = NULL,
                actor = v_actor,
                reason = left(v_said.reason, 500)
            WHERE p.merchant_id = v_merchant_id AND p.payout_id = v_said.payout_id;
        ELSIF effect = 'applied' AND v_said.outcome = 'refused' THEN
            status := 'failed';
            UPDATE payout.payouts p
            SET
                status = 'failed',
                failure_code = v_said.code,
                failure_reason = left(v_said.reason, 500),
                next_action_at = NULL,
                unknown_reason = NULL,
                actor = v_actor,
                reason = v_said.code
            WHERE p.merchant_id = v_merchant_id AND p.payout_id = v_said.payout_id;
        ELSIF v_payout.next_action_at IS NOT NULL AND v_payout.send_before IS NOT NULL AND status NOT IN ('pending', 'processing')
            AND effect <> 'applied' THEN
            -- it was asked about again, and this is the answer
            UPDATE payout.payouts p
            SET next_action_at = NULL
            WHERE p.merchant_id = v_merchant_id AND p.payout_id = v_said.payout_id;
        END IF;

        IF effect = 'contradicted' OR (effect = 'applied' AND v_said.outcome <> 'paid') THEN
            v_one.evidence_id := uuidv7();
            v_one.outcome := v_said.outcome;
            v_one.code := coalesce(v_code, v_said.outcome);
            v_one.reason := v_said.reason;
            v_evidence := array_append(v_evidence, v_one);
        END IF;
        IF effect = 'contradicted' THEN
            PERFORM rail.note_contradiction(v_merchant_id, v_payout, v_said.outcome, coalesce(v_code, v_said.outcome));
        -- only the bank's word closes a case without two operators; after the first attempt there is none, unless a report has made the
        -- payout due
        ELSIF v_said.attempt IS NOT NULL AND (v_payout.attempts > 1 OR v_payout.next_action_at <= v_now) THEN
            PERFORM rail.close_answered_cases(v_merchant_id, payout_id, v_said.outcome, v_actor, v_now);
        END IF;
        IF effect = 'applied' AND v_said.outcome <> 'paid' AND v_merchant_id <> ALL (v_came_back) THEN
            v_came_back := v_came_back || v_merchant_id;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF cardinality(v_evidence) > 0 THEN
        PERFORM rail.record_evidence(v_evidence);
    END IF;

    FOREACH v_merchant_id IN ARRAY v_came_back LOOP
        IF payout.promote_queued(v_merchant_id, v_actor, v_now) THEN
            PERFORM rail.wake_worker();
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.apply_answers IS
'Records what a bank said of payouts of locked merchants: the step that record_answers and record_answers_for_many share.';
