-- Promises: one answer to one request. A payout is accepted only if its amount and its fee are available in the statement that reads
-- the balance after the lock, and then the money is held at once; or it is scheduled for later, or may wait in the queue for
-- money, and nothing is held. What the merchant's rules say is to be approved waits for that first. The first answer to an
-- idempotency key is stored and given again word for word; a rejection is stored too, so that a retry can't turn into a surprise
-- payment later. An invalid request is answered and not stored. p_owner: the person who asks, who can not approve it.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payrail.answer_request(
    p_merchant_id uuid, p_request payrail.payout_request, p_now timestamptz, p_owner text, p_actor text
)
RETURNS payrail.answer
LANGUAGE plpgsql
AS $$
DECLARE
    v_status integer;
    v_body json;
    v_problem text;
    v_fingerprint bytea;
    v_known_fingerprint bytea;
    v_available bigint;
    v_has_account boolean;
    v_rail text;
    v_kind text;
    v_mode text;
    v_mode_reason text;
    v_opens_at timestamptz;
    v_fee bigint;
    v_has_rules boolean;
    v_rules merchant.rules;
    v_over text;
    v_retry_problem text;
    v_approvals smallint := 0;
    v_next_status text := 'pending';
    v_expires_at timestamptz;
    v_payout payrail.payouts;
BEGIN
    SELECT
        payout.request_problem(
            p_request.idempotency_key, p_request.amount, p_request.bank_account_id, p_request.reference, p_request.metadata,
            p_request.narration
        ),
        payout.request_fingerprint(
            p_request.amount, p_request.currency, p_request.bank_account_id, p_request.reference, p_request.metadata,
            p_request.scheduled_at, p_request.queue_if_low_balance, p_request.narration, p_request.retry_of, p_request.mode
        ),
        k.status,
        k.body,
        k.fingerprint,
        e.available,
        a.bank_account_id IS NOT NULL,
        a.rail,
        a.kind,
        r.merchant_id IS NOT NULL
    INTO v_problem, v_fingerprint, v_status, v_body, v_known_fingerprint, v_available, v_has_account, v_rail, v_kind,
        v_has_rules
    FROM (SELECT) one
    LEFT JOIN payout.idempotency_keys k
        ON k.merchant_id = p_merchant_id AND k.idempotency_key = p_request.idempotency_key
    LEFT JOIN merchant.bank_accounts a
        ON a.merchant_id = p_merchant_id AND a.bank_account_id = p_request.bank_account_id AND a.archived_at IS NULL
    LEFT JOIN merchant.rules r
        ON r.merchant_id = p_merchant_id AND r.currency = p_request.currency
    LEFT JOIN LATERAL (
        SELECT l.available
        FROM ledger.entries l
        WHERE l.merchant_id = p_merchant_id AND l.currency = p_request.currency
        ORDER BY l.seq DESC
        LIMIT 1
    ) e ON TRUE;

    -- invalid: answered, not stored
    IF v_problem IS NOT NULL THEN
        v_body := payrail.problem(v_problem);
        RETURN ROW(v_body ->> 'status', v_body, FALSE)::payrail.answer;
    END IF;

    -- a key seen before: its first answer again
    IF v_status IS NOT NULL THEN
        IF v_known_fingerprint <> v_fingerprint THEN
            RETURN ROW(422, payrail.problem('idempotency_key_reused'), FALSE)::payrail.answer;
        END IF;
        RETURN ROW(v_status, v_body, TRUE)::payrail.answer;
    END IF;

    v_status := 422;
    IF v_available IS NULL THEN
        v_available := 0;
        IF NOT EXISTS (SELECT FROM ledger.currencies c WHERE c.currency = p_request.currency) THEN
            RETURN ROW(422, payrail.problem('currency_unknown'), FALSE)::payrail.answer;
        END IF;
    END IF;

    -- what is too late is no answer for ever: the same key may ask for another time
    IF NOT (p_request.scheduled_at > p_now AND p_request.scheduled_at <= p_now + INTERVAL '366 days') THEN
        RETURN ROW(422, payrail.problem('scheduled_at_invalid'), FALSE)::payrail.answer;
    END IF;

    -- by the hours of when it is to be paid
    IF v_has_account THEN
        SELECT c.mode, c.reason, c.opens_at, c.fee INTO v_mode, v_mode_reason, v_opens_at, v_fee
        FROM rail.choose_mode(
            v_rail, v_kind, p_request.currency, p_request.amount, nullif(p_request.mode, 'auto'), coalesce(p_request.scheduled_at, p_now)
        ) c;
    END IF;

    IF p_request.scheduled_at IS NOT NULL THEN
        v_next_status := 'scheduled';
    ELSIF v_available < p_request.amount + v_fee OR (
        p_request.queue_if_low_balance AND payout.has_queue(p_merchant_id, p_request.currency)
    ) THEN
        v_next_status := CASE WHEN p_request.queue_if_low_balance THEN 'queued' END;
    END IF;

    IF v_has_rules THEN
        SELECT u.* INTO v_rules
        FROM merchant.rules u
        WHERE u.merchant_id = p_merchant_id AND u.currency = p_request.currency;
        v_approvals := payout.approvals_needed(v_rules, p_request.amount);
        -- a limit by the day or hour counts when the money is held, the limit of one payout also before
        IF v_next_status = 'pending' OR p_request.amount > v_rules.payout_limit THEN
            v_over := payout.limit_problem(p_merchant_id, v_rules, p_request.bank_account_id, p_request.amount, p_now);
        END IF;
        IF v_over IS NOT NULL AND v_rules.over_limit = 'approve' THEN
            v_approvals := greatest(v_approvals, 1);
            v_over := NULL;
        END IF;
        IF v_approvals > 0 AND v_next_status IN ('pending', 'scheduled') THEN
            v_next_status := 'awaiting_approval';
        END IF;
    END IF;
    IF v_next_status IN ('awaiting_approval', 'queued') THEN
        v_expires_at := p_now + CASE v_next_status
            WHEN 'queued' THEN coalesce(v_rules.queue_expires_after, INTERVAL '30 days')
            ELSE v_rules.approval_expires_after
        END;
    END IF;

    IF p_request.retry_of IS NOT NULL THEN
        v_retry_problem := payout.retry_problem(p_merchant_id, p_request.retry_of);
    END IF;

    IF NOT v_has_account THEN
        v_body := payrail.problem('bank_account_not_found');
    ELSIF v_opens_at IS NULL THEN
        v_body := payrail.problem('mode_unavailable');
    ELSIF v_retry_problem IS NOT NULL THEN
        v_body := payrail.problem('retry_of_invalid', v_retry_problem);
    ELSIF v_next_status IS NULL THEN
        v_body := payrail.problem(
            'insufficient_funds',
            format(
                'available balance %s is less than %s', v_available,
                payout.cost_in_words(p_request.amount, v_fee, p_request.currency)
            )
        );
    ELSIF v_over IS NOT NULL THEN
        v_body := payrail.problem('limit_exceeded', v_over);
    ELSE
        INSERT INTO payout.payouts (
            merchant_id, payout_id, status, amount, currency, bank_account_id, reference, metadata, next_action_at, actor,
            scheduled_at, expires_at, approvals_required, queue_if_low_balance, narration, retry_of, created_by,
            mode, mode_reason, mode_opens_at, fee
        ) VALUES (
            p_merchant_id, uuidv7(), v_next_status, p_request.amount, p_request.currency, p_request.bank_account_id,
            p_request.reference, p_request.metadata, coalesce(v_expires_at, p_request.scheduled_at, v_opens_at), payrail.actor(p_actor),
            p_request.scheduled_at, v_expires_at, v_approvals, coalesce(p_request.queue_if_low_balance, FALSE),
            p_request.narration, p_request.retry_of, coalesce(p_owner, payrail.actor(p_actor)),
            v_mode, v_mode_reason, CASE WHEN v_opens_at > coalesce(p_request.scheduled_at, p_now) THEN v_opens_at END, v_fee
        ) RETURNING * INTO v_payout;
        IF v_has_rules THEN
            PERFORM payout.count_usage(p_merchant_id, v_rules, v_payout.bank_account_id, v_payout.amount, v_payout.held_at);
        END IF;
        v_status := 201;
        v_body := payrail.payout_json(v_payout);
    END IF;

    INSERT INTO payout.idempotency_keys (merchant_id, idempotency_key, fingerprint, payout_id, status, body)
    VALUES (
        p_merchant_id, p_request.idempotency_key, v_fingerprint, v_payout.payout_id, v_status, v_body
    );
    RETURN ROW(v_status, v_body, FALSE)::payrail.answer;
END
$$;

COMMENT ON FUNCTION payrail.answer_request IS 'Answers one request for a payout of a locked merchant: the step that create_payout and create_payouts share.';
