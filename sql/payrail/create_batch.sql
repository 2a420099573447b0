-- Promises: a batch with one line per request, in order, waits for the worker; nothing is paid yet. A line without an idempotency key
-- gets one made of the batch's id and its number. The first answer to the batch's own key is stored and given again word for word.
-- What is not well formed, or in a currency that is none, is refused with all of it, so that nothing of a wrong file is paid.
-- Lock: the merchant's.
-- Raises: PR111 an argument out of bounds, PR121 a line is not valid, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.create_batch(
    p_merchant_id uuid,
    p_idempotency_key text,
    p_requests payrail.payout_request[],
    p_mode text DEFAULT 'best_effort',
    p_name text DEFAULT NULL,
    p_owner text DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS payrail.answer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_batch payrail.batches;
    v_request payrail.payout_request;
    v_fingerprint bytea;
    v_known_fingerprint bytea;
    v_answer json;
    v_line integer;
    v_problem text;
BEGIN
    v_batch.created_at := merchant.lock_merchant(p_merchant_id);
    IF (length(p_idempotency_key) <= 255 AND p_idempotency_key ~ '^[\x21-\x7e]+$') IS NOT TRUE THEN
        RETURN ROW(400, payrail.problem('idempotency_key_invalid'), FALSE)::payrail.answer;
    END IF;

    v_fingerprint := sha256(convert_to(ROW('POST /batches', p_mode, p_name, p_requests)::text, 'UTF8'));
    SELECT
        b.fingerprint,
        b.answer
    INTO v_known_fingerprint, v_answer
    FROM payout.batches b
    WHERE b.merchant_id = p_merchant_id AND b.idempotency_key = p_idempotency_key;
    IF v_known_fingerprint = v_fingerprint THEN
        RETURN ROW(201, v_answer, TRUE)::payrail.answer;
    ELSIF v_known_fingerprint IS NOT NULL THEN
        RETURN ROW(422, payrail.problem('idempotency_key_reused'), FALSE)::payrail.answer;
    END IF;

    IF coalesce(p_mode, '') NOT IN ('best_effort', 'all_or_nothing') THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'mode', 'known', 'best_effort, all_or_nothing');
    END IF;
    IF length(p_name) NOT BETWEEN 1 AND 255 OR p_name ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'name', 'minimum', 1, 'maximum', 255);
    END IF;
    IF coalesce(cardinality(p_requests), 0) NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'payouts', 'minimum', 1, 'maximum', 10000);
    END IF;

    SELECT
        f.line,
        f.problem
    INTO v_line, v_problem
    FROM (
        SELECT
            r.line,
            coalesce(
                payout.request_problem(
                    coalesce(r.idempotency_key, 'made-below'), r.amount, r.bank_account_id, r.reference, r.metadata, r.narration
                ),
                CASE
                    WHEN c.currency IS NULL THEN 'currency_unknown'
                    -- a second line with a key would be no second payout
                    WHEN r.idempotency_key IS NOT NULL AND r.times > 1 THEN 'idempotency_key_reused'
                    -- nor would a second line that pays a payout again
                    WHEN r.retry_of IS NOT NULL AND r.of_retry > 1 THEN 'retry_of_invalid'
                END
            ) AS problem
        FROM (
            SELECT
                u.*,
                u.ordinality::integer AS line,
                row_number() OVER (PARTITION BY u.idempotency_key ORDER BY u.ordinality) AS times,
                row_number() OVER (PARTITION BY u.retry_of ORDER BY u.ordinality) AS of_retry
            FROM unnest(p_requests) WITH ORDINALITY u
        ) r
        LEFT JOIN ledger.currencies c ON r.currency = c.currency
    ) f
    WHERE f.problem IS NOT NULL
    ORDER BY f.line
    LIMIT 1;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION 'a line of the batch is not valid'
            USING ERRCODE = 'PR121', DETAIL = json_build_object('field', 'payouts/' || v_line - 1, 'line', v_line, 'code', v_problem);
    END IF;

    v_batch.merchant_id := p_merchant_id;
    v_batch.batch_id := uuidv7();
    v_batch.mode := p_mode;
    v_batch.name := p_name;
    v_batch.lines := cardinality(p_requests);
    v_batch.status := 'pending';
    v_batch.accepted := 0;
    v_batch.rejected := 0;
    SELECT jsonb_agg(jsonb_build_object('currency', t.currency, 'lines', t.lines, 'amount', t.amount) ORDER BY t.currency)
    INTO v_batch.totals
    FROM (
        SELECT
            u.currency,
            count(*) AS lines,
            sum(u.amount) AS amount
        FROM unnest(p_requests) u
        GROUP BY u.currency
    ) t;
    v_answer := payrail.batch_json(v_batch);

    INSERT INTO payout.batches (
        merchant_id, batch_id, idempotency_key, fingerprint, mode, name, lines, totals, status, owner, actor, created_at, answer
    ) VALUES (
        p_merchant_id, v_batch.batch_id, p_idempotency_key, v_fingerprint, p_mode, p_name, v_batch.lines, v_batch.totals,
        v_batch.status, coalesce(p_owner, payrail.actor(p_actor)), payrail.actor(p_actor), v_batch.created_at, v_answer
    );
    v_line := 0;
    FOREACH v_request IN ARRAY p_requests LOOP
        v_line := v_line + 1;
        v_request.idempotency_key := coalesce(v_request.idempotency_key, 'batch-' || v_batch.batch_id || '-' || v_line);
        INSERT INTO payout.batch_lines (merchant_id, batch_id, line, request)
        VALUES (p_merchant_id, v_batch.batch_id, v_line, v_request);
    END LOOP;
    PERFORM rail.wake_worker();
    RETURN ROW(201, v_answer, FALSE)::payrail.answer;
END
$$;

COMMENT ON FUNCTION payrail.create_batch IS
'Takes up to 10,000 payouts that the worker then makes: best_effort (each line for itself) or all_or_nothing. Returns the HTTP status,
the batch as JSON, and whether it is the stored answer to a key seen before. A line without an idempotency key gets one.';
