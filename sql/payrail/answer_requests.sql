-- Promises: one answer to each request of these merchants, in order; none (NULLs) to those of others. A payout is accepted only if its
-- amount and its fee are available in the statement that reads the balance after the lock, less what those before it take, and then
-- the money is held at once; or it is scheduled for later, or may wait in the queue for money, and nothing is held. What the merchant's
-- rules say is to be approved waits for that first. The first answer to an idempotency key is stored and given again word for word; a
-- rejection is stored too, so that a retry can't turn into a surprise payment later. An invalid request is answered and not stored.
-- All are read by one statement, decided one by one, and written by two, which costs half of what statements for each do. What has to
-- see what one before it writes, a key that comes again or a second retry of a payout, begins another round.
-- Lock: expects the merchants'.
CREATE OR REPLACE FUNCTION payrail.answer_requests(p_merchant_ids uuid[], p_requests payrail.addressed_request[], p_now timestamptz)
RETURNS payrail.answer[]
LANGUAGE plpgsql
-- one request looks cheaper to plan anew, and planning is dearer than all the rest
SET plan_cache_mode = 'force_generic_plan'
AS $$
DECLARE
    v_answers payrail.answer[] := array_fill(NULL::payrail.answer, ARRAY[cardinality(p_requests)]);
    v_first bigint := 1;
    v_last bigint;
    v_request record;
    v_merchant_id uuid;
    v_currency text;
    v_available bigint;
    v_is_queued boolean;
    v_at timestamptz;
    v_rules merchant.rules;
    v_approvals smallint;
    v_status text;
    v_over text;
    v_retry_problem text;
    v_expires_at timestamptz;
    v_problem json;
    v_payout_id uuid;
    v_actor text;
    v_payouts payrail.payouts[];
    v_payout payrail.payouts;
    v_keys payout.idempotency_keys[];
    v_answer payrail.answer;
    v_is_accepted boolean := FALSE;
BEGIN
    WHILE v_first <= cardinality(p_requests) LOOP
        v_last := cardinality(p_requests);
        IF v_first < v_last THEN
            SELECT coalesce(min(r.line) - 1, v_last) INTO v_last
            FROM (
                SELECT
                    u.line,
                    (u.request).idempotency_key,
                    (u.request).retry_of,
                    row_number() OVER (PARTITION BY u.merchant_id, (u.request).idempotency_key ORDER BY u.line) AS of_key,
                    row_number() OVER (PARTITION BY u.merchant_id, (u.request).retry_of ORDER BY u.line) AS of_retry
                FROM unnest(p_requests) WITH ORDINALITY u (merchant_id, owner, actor, key_hash, request, line)
                WHERE u.line >= v_first
            ) r
            WHERE (r.of_key > 1 AND r.idempotency_key IS NOT NULL) OR (r.of_retry > 1 AND r.retry_of IS NOT NULL);
        END IF;
        v_merchant_id := NULL;
        v_payouts := '{}';
        v_keys := '{}';
        v_at := clock_timestamp();

        FOR v_request IN
            SELECT
                r.*,
                payout.request_problem(
                    r.idempotency_key, r.amount, r.bank_account_id, r.reference, r.metadata, r.narration
                ) AS problem,
                payout.request_fingerprint(
                    r.amount, r.currency, r.bank_account_id, r.reference, r.metadata,
                    r.scheduled_at, r.queue_if_low_balance, r.narration, r.retry_of, r.mode
                ) AS fingerprint,
                k.status AS known_status,
                k.body AS known_body,
                k.fingerprint AS known_fingerprint,
                e.available,
                a.rail IS NOT NULL AS has_account,
                EXISTS (
                    SELECT FROM merchant.rules u WHERE u.merchant_id = r.merchant_id AND u.currency = r.currency
                ) AS has_rules,
                m.mode AS chosen_mode,
                m.reason AS mode_reason,
                m.opens_at,
                m.fee
            FROM (
                SELECT
                    u.line,
                    u.merchant_id,
                    u.owner,
                    u.actor,
                    (u.request).*,
                    ((u.request).scheduled_at > p_now AND (u.request).scheduled_at <= p_now + INTERVAL '366 days') IS NOT FALSE AS is_in_time
                FROM unnest(p_requests) WITH ORDINALITY u (merchant_id, owner, actor, key_hash, request, line)
                OFFSET 0
            ) r
            -- with LIMIT each is looked up by its key, however few rows the planner thinks that there are
            LEFT JOIN LATERAL (
                SELECT
                    i.status,
                    i.body,
                    i.fingerprint
                FROM payout.idempotency_keys i
                WHERE i.merchant_id = r.merchant_id AND i.idempotency_key = r.idempotency_key
                LIMIT 1
            ) k ON TRUE
            LEFT JOIN LATERAL (
                SELECT
                    b.rail,
                    b.kind
                FROM merchant.bank_accounts b
                WHERE b.merchant_id = r.merchant_id AND b.bank_account_id = r.bank_account_id AND b.archived_at IS NULL
                LIMIT 1
            ) a ON TRUE
            LEFT JOIN LATERAL (
                SELECT l.available
                FROM ledger.entries l
                WHERE l.merchant_id = r.merchant_id AND l.currency = r.currency
                ORDER BY l.seq DESC
                LIMIT 1
            ) e ON TRUE
            -- by the hours of when it is to be paid
            LEFT JOIN LATERAL rail.choose_mode(
                a.rail, a.kind, r.currency, r.amount, nullif(r.mode, 'auto'),
                CASE WHEN r.is_in_time THEN coalesce(r.scheduled_at, p_now) ELSE p_now END
            ) m ON a.rail IS NOT NULL
            WHERE r.line BETWEEN v_first AND v_last AND r.merchant_id = ANY (p_merchant_ids)
            ORDER BY r.merchant_id, r.currency, r.line
        LOOP
            -- invalid: answered, not stored
            IF v_request.problem IS NOT NULL THEN
                v_problem := payrail.problem(v_request.problem);
                v_answers[v_request.line] := ROW(v_problem ->> 'status', v_problem, FALSE)::payrail.answer;
                CONTINUE;
            END IF;

            -- a key seen before: its first answer again
            IF v_request.known_status IS NOT NULL THEN
                IF v_request.known_fingerprint <> v_request.fingerprint THEN
                    v_answers[v_request.line] := ROW(422, payrail.problem('idempotency_key_reused'), FALSE);
                ELSE
                    v_answers[v_request.line] := ROW(v_request.known_status, v_request.known_body, TRUE);
                END IF;
                CONTINUE;
            END IF;

            IF v_request.merchant_id IS DISTINCT FROM v_merchant_id OR v_request.currency IS DISTINCT FROM v_currency THEN
                v_merchant_id := v_request.merchant_id;
                v_currency := v_request.currency;
                v_available := coalesce(v_request.available, 0);
                v_is_queued := FALSE;
            END IF;
            IF v_request.available IS NULL THEN
                IF NOT EXISTS (SELECT FROM ledger.currencies c WHERE c.currency = v_request.currency) THEN
                    v_answers[v_request.line] := ROW(422, payrail.problem('currency_unknown'), FALSE);
                    CONTINUE;
                END IF;
            END IF;

            -- what is too late is no answer for ever: the same key may ask for another time
            IF NOT v_request.is_in_time THEN
                v_answers[v_request.line] := ROW(422, payrail.problem('scheduled_at_invalid'), FALSE);
                CONTINUE;
            END IF;

            v_status := 'pending';
            v_approvals := 0;
            v_expires_at := NULL;
            v_over := NULL;
            v_problem := NULL;
            IF v_request.scheduled_at IS NOT NULL THEN
                v_status := 'scheduled';
            ELSIF v_available < v_request.amount + v_request.fee OR (
                v_request.queue_if_low_balance AND (v_is_queued OR payout.has_queue(v_request.merchant_id, v_request.currency))
            ) THEN
                v_status := CASE WHEN v_request.queue_if_low_balance THEN 'queued' END;
            END IF;

            IF v_request.has_rules THEN
                SELECT u.* INTO v_rules
                FROM merchant.rules u
                WHERE u.merchant_id = v_request.merchant_id AND u.currency = v_request.currency;
                v_approvals := payout.approvals_needed(v_rules, v_request.amount);
                -- a limit by the day or hour counts when the money is held, the limit of one payout also before
                IF v_status = 'pending' OR v_request.amount > v_rules.payout_limit THEN
                    v_over := payout.limit_problem(
                        v_request.merchant_id, v_rules, v_request.bank_account_id, v_request.amount, p_now
                    );
                END IF;
                IF v_over IS NOT NULL AND v_rules.over_limit = 'approve' THEN
                    v_approvals := greatest(v_approvals, 1);
                    v_over := NULL;
                END IF;
                IF v_approvals > 0 AND v_status IN ('pending', 'scheduled') THEN
                    v_status := 'awaiting_approval';
                END IF;
            END IF;
            IF v_status IN ('awaiting_approval', 'queued') THEN
                v_expires_at := p_now + CASE
                    WHEN v_status = 'awaiting_approval' THEN v_rules.approval_expires_after
                    WHEN v_request.has_rules THEN v_rules.queue_expires_after
                    ELSE INTERVAL '30 days'
                END;
            END IF;

            IF v_request.retry_of IS NOT NULL THEN
                v_retry_problem := rail.retry_problem(v_request.merchant_id, v_request.retry_of);
            END IF;

            IF NOT v_request.has_account THEN
                v_problem := payrail.problem('bank_account_not_found');
            ELSIF v_request.opens_at IS NULL THEN
                v_problem := payrail.problem('mode_unavailable');
            ELSIF v_request.retry_of IS NOT NULL AND v_retry_problem IS NOT NULL THEN
                v_problem := payrail.problem('retry_of_invalid', v_retry_problem);
            ELSIF v_status IS NULL THEN
                v_problem := payrail.problem(
                    'insufficient_funds',
                    format(
                        'available balance %s is less than %s', v_available,
                        payout.cost_in_words(v_request.amount, v_request.fee, v_request.currency)
                    )
                );
            ELSIF v_over IS NOT NULL THEN
                v_problem := payrail.problem('limit_exceeded', v_over);
            END IF;
            IF v_problem IS NULL THEN
                v_payout_id := uuidv7();
                v_actor := payrail.actor(v_request.actor);
                -- one expression: PL/pgSQL prepares each anew in every transaction
                v_payout := ROW(
                    v_request.merchant_id, v_payout_id, v_request.amount, v_at, v_at, NULL, NULL, NULL,
                    coalesce(v_expires_at, v_request.scheduled_at, v_request.opens_at), 1, 0, v_status, v_request.currency,
                    v_request.bank_account_id, v_request.reference, NULL, NULL, NULL, NULL, NULL, v_actor, NULL, v_request.metadata,
                    NULL, NULL, v_request.scheduled_at, v_expires_at, v_approvals, coalesce(v_request.queue_if_low_balance, FALSE),
                    v_request.narration, v_request.retry_of, coalesce(v_request.owner, v_actor), v_request.chosen_mode,
                    v_request.mode_reason,
                    CASE WHEN v_request.opens_at > coalesce(v_request.scheduled_at, p_now) THEN v_request.opens_at END,
                    v_request.fee
                );
                v_payouts := array_append(v_payouts, v_payout);
                v_answer := ROW(201, payrail.payout_json(v_payout), FALSE);

                IF v_status = 'pending' OR (v_status = 'awaiting_approval' AND v_request.scheduled_at IS NULL) THEN
                    v_available := v_available - v_request.amount - v_request.fee;
                    IF v_request.has_rules THEN
                        PERFORM payout.count_usage(
                            v_request.merchant_id, v_rules, v_request.bank_account_id, v_request.amount, v_at
                        );
                    END IF;
                ELSIF v_status = 'queued' THEN
                    v_is_queued := TRUE;
                END IF;
            ELSE
                v_answer := ROW(422, v_problem, FALSE);
                v_payout_id := NULL;
            END IF;
            v_answers[v_request.line] := v_answer;
            v_keys := array_append(
                v_keys,
                ROW(
                    v_request.merchant_id, v_request.idempotency_key, v_request.fingerprint, v_payout_id, v_at, v_answer.status,
                    v_answer.body
                )::payout.idempotency_keys
            );
        END LOOP;

        IF cardinality(v_payouts) > 0 THEN
            v_is_accepted := TRUE;
            INSERT INTO payout.payouts (
                merchant_id, payout_id, status, amount, fee, currency, bank_account_id, reference, metadata, narration,
                scheduled_at, expires_at, next_action_at, approvals_required, queue_if_low_balance, retry_of,
                mode, mode_reason, mode_opens_at, actor, created_by, created_at
            )
            SELECT
                p.merchant_id,
                p.payout_id,
                p.status,
                p.amount,
                p.fee,
                p.currency,
                p.bank_account_id,
                p.reference,
                p.metadata,
                p.narration,
                p.scheduled_at,
                p.expires_at,
                p.next_action_at,
                p.approvals_required,
                p.queue_if_low_balance,
                p.retry_of,
                p.mode,
                p.mode_reason,
                p.mode_opens_at,
                p.actor,
                p.created_by,
                p.created_at
            FROM unnest(v_payouts) p;
        END IF;
        IF cardinality(v_keys) > 0 THEN
            INSERT INTO payout.idempotency_keys
            SELECT k.*
            FROM unnest(v_keys) k;
        END IF;
        v_first := v_last + 1;
    END LOOP;

    IF v_is_accepted THEN
        PERFORM rail.wake_worker();
    END IF;
    RETURN v_answers;
END
$$;

COMMENT ON FUNCTION payrail.answer_requests IS
'Answers requests for payouts of locked merchants: the step that create_payout, create_payouts and create_payouts_for_many share.';
