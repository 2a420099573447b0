-- Promises: the next lines of a batch are answered by payrail.create_payouts, and what each was answered is written in the same
-- transaction, so a caller that dies changes nothing and the next call goes on from there. Up to p_limit lines of a best-effort batch;
-- an all-or-nothing batch whole: if any line is refused then none is made, no key is used up, and the lines at fault say why. A batch
-- that is over stays as it is. Its end is an event.
-- Lock: the merchant's.
-- Raises: PR111 a limit out of bounds, PR421 no such batch, PR401, PR901, PR902; PR222 inside only.
CREATE OR REPLACE FUNCTION payrail.advance_batch(p_merchant_id uuid, p_batch_id uuid, p_limit integer DEFAULT 100)
RETURNS SETOF payrail.batches
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz;
    v_batch payout.batches;
    v_is_whole boolean;
    v_is_refused boolean;
    v_done integer;
    v_accepted integer;
    v_rejected integer;
    v_requests payrail.payout_request[];
    v_answers payrail.answer[];
BEGIN
    IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'limit', 'minimum', 1, 'maximum', 1000);
    END IF;
    v_now := merchant.lock_merchant(p_merchant_id);
    SELECT b.* INTO v_batch
    FROM payout.batches b
    WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such batch'
            USING ERRCODE = 'PR421', DETAIL = json_build_object('field', 'batch_id', 'batch_id', p_batch_id);
    END IF;

    IF v_batch.completed_at IS NULL THEN
        v_is_whole := v_batch.mode = 'all_or_nothing';
        v_done := v_batch.accepted + v_batch.rejected;
        SELECT array_agg(l.request ORDER BY l.line) INTO v_requests
        FROM payout.batch_lines l
        WHERE
            l.merchant_id = p_merchant_id AND l.batch_id = p_batch_id AND l.line > v_done
            AND (v_is_whole OR l.line <= v_done + p_limit);

        -- the one subtransaction of this call, to take back what a batch that is refused has made
        BEGIN
            SELECT
                array_agg(ROW(a.status, a.body, a.replayed)::payrail.answer ORDER BY a.ordinality),
                count(*) FILTER (WHERE a.status = 201),
                count(*) FILTER (WHERE a.status <> 201)
            INTO v_answers, v_accepted, v_rejected
            FROM payrail.create_payouts(
                p_merchant_id => p_merchant_id, p_requests => v_requests, p_owner => v_batch.owner, p_actor => v_batch.actor
            ) WITH ORDINALITY a;
            v_is_refused := v_is_whole AND v_rejected > 0;
            IF v_is_refused THEN
                RAISE EXCEPTION 'a line of an all-or-nothing batch is refused'
                    USING ERRCODE = 'PR222', DETAIL = json_build_object('field', 'batch_id', 'batch_id', p_batch_id);
            END IF;
        EXCEPTION
            WHEN SQLSTATE 'PR222' THEN
                v_accepted := 0;
        END;

        INSERT INTO payout.batch_answers (merchant_id, batch_id, line, payout_id, replayed, code, detail)
        SELECT
            p_merchant_id,
            p_batch_id,
            v_done + a.ordinality,
            CASE a.status WHEN 201 THEN (a.body ->> 'id')::uuid END,
            a.replayed,
            CASE WHEN a.status <> 201 THEN a.body ->> 'code' END,
            CASE WHEN a.status <> 201 THEN a.body ->> 'detail' END
        FROM unnest(v_answers) WITH ORDINALITY a
        WHERE NOT (v_is_refused AND a.status = 201);

        UPDATE payout.batches b
        SET
            status = CASE
                WHEN v_is_refused THEN 'rejected'
                WHEN v_done + v_accepted + v_rejected = b.lines THEN 'completed'
                ELSE 'processing'
            END,
            accepted = b.accepted + v_accepted,
            rejected = b.rejected + v_rejected,
            advanced_at = v_now,
            completed_at = CASE WHEN v_is_refused OR v_done + v_accepted + v_rejected = b.lines THEN v_now END
        WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id;

        PERFORM webhook.add_event(p_merchant_id, 'batch.completed', payrail.batch_json(b), payrail.actor(v_batch.actor))
        FROM payrail.batches b
        WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id AND b.completed_at IS NOT NULL;
    END IF;

    RETURN QUERY
    SELECT b.*
    FROM payrail.batches b
    WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id;
END
$$;

COMMENT ON FUNCTION payrail.advance_batch IS
'Makes the payouts of the next lines of a batch (p_limit of them; all of them of an all-or-nothing batch) and returns the batch.
Call it until completed_at is set: the worker does.';
