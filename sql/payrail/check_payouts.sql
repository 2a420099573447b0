-- Promises: what payrail.create_payouts would say to these requests as things are now, without making any: only the lines that would
-- make no new payout are returned. Nothing is locked, so it may be different a moment later; and the merchant's limits are not looked at.
CREATE OR REPLACE FUNCTION payrail.check_payouts(p_merchant_id uuid, p_requests payrail.payout_request[])
RETURNS TABLE (line integer, replayed boolean, code text, detail text)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row record;
    v_currency text;
    v_left bigint;
    v_has_queue boolean;
    v_now timestamptz := clock_timestamp();
BEGIN
    FOR v_row IN
        SELECT
            r.line,
            r.amount,
            r.currency,
            m.fee,
            r.scheduled_at,
            r.queue_if_low_balance,
            coalesce(
                payout.request_problem(
                    coalesce(r.idempotency_key, 'to-be-made'), r.amount, r.bank_account_id, r.reference, r.metadata, r.narration
                ),
                CASE
                    WHEN
                        r.times > 1 AND r.idempotency_key IS NOT NULL
                        OR k.fingerprint
                        <> payout.request_fingerprint(
                            r.amount, r.currency, r.bank_account_id, r.reference, r.metadata, r.scheduled_at,
                            r.queue_if_low_balance, r.narration, r.retry_of, r.mode
                        )
                        THEN 'idempotency_key_reused'
                    WHEN k.status <> 201 THEN k.body ->> 'code'
                    WHEN k.status = 201 THEN NULL
                    WHEN c.currency IS NULL THEN 'currency_unknown'
                    WHEN NOT (r.scheduled_at > v_now AND r.scheduled_at <= v_now + INTERVAL '366 days') THEN 'scheduled_at_invalid'
                    WHEN a.bank_account_id IS NULL THEN 'bank_account_not_found'
                    WHEN m.opens_at IS NULL THEN 'mode_unavailable'
                    WHEN r.retry_of IS NOT NULL AND (
                        r.of_retry > 1 OR rail.retry_problem(p_merchant_id, r.retry_of) IS NOT NULL
                    ) THEN 'retry_of_invalid'
                END
            ) AS problem,
            k.status IS NOT NULL AS is_known
        FROM (
            SELECT
                u.*,
                u.ordinality::integer AS line,
                row_number() OVER (PARTITION BY u.idempotency_key ORDER BY u.ordinality) AS times,
                row_number() OVER (PARTITION BY u.retry_of ORDER BY u.ordinality) AS of_retry
            FROM unnest(p_requests) WITH ORDINALITY u
        ) r
        LEFT JOIN payout.idempotency_keys k ON k.merchant_id = p_merchant_id AND r.idempotency_key = k.idempotency_key
        LEFT JOIN merchant.bank_accounts a
            ON a.merchant_id = p_merchant_id AND r.bank_account_id = a.bank_account_id AND a.archived_at IS NULL
        LEFT JOIN LATERAL rail.choose_mode(
            a.rail, a.kind, r.currency, r.amount, nullif(r.mode, 'auto'), coalesce(r.scheduled_at, v_now)
        ) m ON TRUE
        LEFT JOIN ledger.currencies c ON r.currency = c.currency
        ORDER BY r.currency, r.line
    LOOP
        line := v_row.line;
        replayed := v_row.is_known;
        code := v_row.problem;
        detail := CASE WHEN v_row.problem IS NOT NULL THEN coalesce(payrail.problem(v_row.problem) ->> 'detail', v_row.problem) END;
        IF v_row.problem IS NULL AND NOT v_row.is_known THEN
            IF v_row.currency IS DISTINCT FROM v_currency THEN
                v_currency := v_row.currency;
                SELECT b.available INTO v_left
                FROM payrail.balances b
                WHERE b.merchant_id = p_merchant_id AND b.currency = v_row.currency;
                v_left := coalesce(v_left, 0);
                v_has_queue := payout.has_queue(p_merchant_id, v_row.currency);
            END IF;
            -- what waits takes nothing now
            CONTINUE WHEN v_row.scheduled_at IS NOT NULL;
            IF v_row.queue_if_low_balance AND (v_has_queue OR v_row.amount + v_row.fee > v_left) THEN
                v_has_queue := TRUE;
                CONTINUE;
            END IF;
            IF v_row.amount + v_row.fee <= v_left THEN
                v_left := v_left - v_row.amount - v_row.fee;
                CONTINUE;
            END IF;
            code := 'insufficient_funds';
            detail := format(
                'available balance %s is less than %s', v_left, payout.cost_in_words(v_row.amount, v_row.fee, v_row.currency)
            );
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.check_payouts IS
'What would be said to these requests now, without making any payout: the lines that would be refused (code, detail), or whose
idempotency key has been answered before (replayed). Lines count from 1; the others would be accepted.';
