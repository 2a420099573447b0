-- Promises: as payrail.create_payouts, for requests of many merchants at once: one answer per request, in order, under one commit. Nobody
-- waits for another's lock: the requests of a merchant whose row somebody else holds, or who is not there, get no answer (NULLs) and
-- nothing is done; ask for them with p_wait, which waits for all of their merchants, in the order of their ids.
-- Lock: those of the merchants that are free, or all of them.
-- Raises: PR111 no array, PR901, PR902; with p_wait PR401 no such merchant.
CREATE OR REPLACE FUNCTION payrail.create_payouts_for_many(p_requests payrail.addressed_request[], p_wait boolean DEFAULT FALSE)
RETURNS SETOF payrail.answer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_free uuid[];
    v_merchant_id uuid;
    v_asked payrail.addressed_request;
    v_answer payrail.answer;
    v_now timestamptz;
    v_accepted boolean := FALSE;
BEGIN
    IF p_requests IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'requests');
    END IF;
    v_free := ARRAY(SELECT DISTINCT r.merchant_id FROM unnest(p_requests) r ORDER BY r.merchant_id);
    IF p_wait THEN
        FOREACH v_merchant_id IN ARRAY v_free LOOP
            PERFORM merchant.lock_merchant(v_merchant_id);
        END LOOP;
    ELSE
        v_free := ARRAY(SELECT merchant.lock_free_merchants(v_free));
    END IF;
    v_now := rail.clock();
    FOREACH v_asked IN ARRAY p_requests LOOP
        v_answer := NULL;
        IF v_asked.merchant_id = ANY (v_free) THEN
            v_answer := payrail.answer_request(v_asked.merchant_id, v_asked.request, v_now, v_asked.owner, v_asked.actor);
            v_accepted := v_accepted OR (v_answer.status = 201 AND NOT v_answer.replayed);
        END IF;
        RETURN NEXT v_answer;
    END LOOP;
    IF v_accepted AND NOT rail.dispatch_is_waiting() THEN
        PERFORM rail.wake_worker();
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.create_payouts_for_many IS
'Creates payouts of many merchants under one commit. Per request, in order, what payrail.create_payouts answers; NULLs where somebody
else holds the merchant''s lock, or there is no such merchant: then nothing was done. With p_wait it waits for their locks.';
