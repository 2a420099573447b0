-- Promises: one answer per request, in order, all under one lock and one commit. A payout is accepted only if its
-- amount is available in the statement that reads the balance after the lock, and then the money is held at once.
-- The first answer to an idempotency key is stored and given again word for word; a rejection is stored too, so
-- that a retry can't turn into a surprise payment later. An invalid request is answered and not stored. No
-- request's rejection touches its neighbours.
-- Lock: the merchant's.
-- Raises: PR401, PR901, PR902 (merchant.lock_merchant).
CREATE OR REPLACE FUNCTION payrail.create_payouts(
    p_merchant_id uuid, p_requests payrail.payout_request[], p_actor text DEFAULT NULL
)
RETURNS TABLE (status integer, body json, replayed boolean)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_request payrail.payout_request;
    v_problem text;
    v_fingerprint bytea;
    v_stored payout.idempotency_keys;
    v_available bigint;
    v_payout payrail.payouts;
    v_accepted boolean := FALSE;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);

    FOREACH v_request IN ARRAY p_requests LOOP
        v_payout := NULL;
        replayed := FALSE;

        -- invalid: answered, not stored
        v_problem := payout.request_problem(
            v_request.idempotency_key, v_request.amount, v_request.bank_account_id, v_request.reference, v_request.metadata
        );
        IF v_problem IS NOT NULL THEN
            body := payrail.problem(v_problem);
            status := body ->> 'status';
            RETURN NEXT;
            CONTINUE;
        END IF;

        -- a key seen before: its first answer again
        v_fingerprint := payout.request_fingerprint(
            v_request.amount, v_request.currency, v_request.bank_account_id, v_request.reference, v_request.metadata
        );
        SELECT k.* INTO v_stored
        FROM payout.idempotency_keys k
        WHERE k.merchant_id = p_merchant_id AND k.idempotency_key = v_request.idempotency_key;
        IF FOUND THEN
            IF v_stored.fingerprint = v_fingerprint THEN
                status := v_stored.status;
                body := v_stored.body;
                replayed := TRUE;
            ELSE
                status := 422;
                body := payrail.problem('idempotency_key_reused');
            END IF;
            RETURN NEXT;
            CONTINUE;
        END IF;

        SELECT b.available INTO v_available
        FROM payrail.balances b
        WHERE b.merchant_id = p_merchant_id AND b.currency = v_request.currency;
        IF NOT FOUND THEN
            status := 422;
            body := payrail.problem('currency_unknown');
            RETURN NEXT;
            CONTINUE;
        END IF;

        PERFORM
        FROM merchant.bank_accounts a
        WHERE a.merchant_id = p_merchant_id AND a.bank_account_id = v_request.bank_account_id AND a.archived_at IS NULL;

        IF NOT FOUND THEN
            status := 422;
            body := payrail.problem('bank_account_not_found');
        ELSIF v_available < v_request.amount THEN
            status := 422;
            body := payrail.problem(
                'insufficient_funds',
                format(
                    'available balance %s is less than the amount %s (minor units of %s)',
                    v_available, v_request.amount, v_request.currency
                )
            );
        ELSE
            INSERT INTO payout.payouts (
                merchant_id, payout_id, status, amount, currency, bank_account_id, reference, metadata, next_action_at, actor
            ) VALUES (
                p_merchant_id, uuidv7(), 'pending', v_request.amount, v_request.currency, v_request.bank_account_id,
                v_request.reference, v_request.metadata, clock_timestamp(), payrail.actor(p_actor)
            ) RETURNING * INTO v_payout;
            status := 201;
            body := payrail.payout_json(v_payout);
            v_accepted := TRUE;
        END IF;

        INSERT INTO payout.idempotency_keys (merchant_id, idempotency_key, fingerprint, payout_id, status, body)
        VALUES (p_merchant_id, v_request.idempotency_key, v_fingerprint, v_payout.payout_id, status, body);
        RETURN NEXT;
    END LOOP;

    IF v_accepted THEN
        PERFORM rail.wake_worker();
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.create_payouts IS
'Creates payouts of one merchant under one lock and one commit. Per request, in order: the HTTP status (201 created,
400/422 rejected), the JSON body, and whether it is the stored answer to an idempotency key seen before. Amounts in
minor units, 1 to 10^15.';
