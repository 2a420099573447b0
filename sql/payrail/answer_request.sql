-- Promises: one answer to one request. A payout is accepted only if its amount is available in the statement that reads
-- the balance after the lock, and then the money is held at once. The first answer to an idempotency key is stored and
-- given again word for word; a rejection is stored too, so that a retry can't turn into a surprise payment later. An
-- invalid request is answered and not stored.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payrail.answer_request(p_merchant_id uuid, p_request payrail.payout_request, p_now timestamptz, p_actor text)
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
    v_payout payrail.payouts;
BEGIN
    SELECT
        payout.request_problem(
            p_request.idempotency_key, p_request.amount, p_request.bank_account_id, p_request.reference, p_request.metadata
        ),
        payout.request_fingerprint(
            p_request.amount, p_request.currency, p_request.bank_account_id, p_request.reference, p_request.metadata
        ),
        k.status,
        k.body,
        k.fingerprint,
        e.available,
        a.bank_account_id IS NOT NULL
    INTO v_problem, v_fingerprint, v_status, v_body, v_known_fingerprint, v_available, v_has_account
    FROM (SELECT) one
    LEFT JOIN payout.idempotency_keys k
        ON k.merchant_id = p_merchant_id AND k.idempotency_key = p_request.idempotency_key
    LEFT JOIN merchant.bank_accounts a
        ON a.merchant_id = p_merchant_id AND a.bank_account_id = p_request.bank_account_id AND a.archived_at IS NULL
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

    IF NOT v_has_account THEN
        v_body := payrail.problem('bank_account_not_found');
    ELSIF v_available < p_request.amount THEN
        v_body := payrail.problem(
            'insufficient_funds',
            format(
                'available balance %s is less than the amount %s (minor units of %s)',
                v_available, p_request.amount, p_request.currency
            )
        );
    ELSE
        INSERT INTO payout.payouts (
            merchant_id, payout_id, status, amount, currency, bank_account_id, reference, metadata, next_action_at, actor
        ) VALUES (
            p_merchant_id, uuidv7(), 'pending', p_request.amount, p_request.currency, p_request.bank_account_id,
            p_request.reference, p_request.metadata, p_now, payrail.actor(p_actor)
        ) RETURNING * INTO v_payout;
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
