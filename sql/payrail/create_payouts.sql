-- Promises: one answer per request, in order, all under one lock and one commit. No request's rejection touches its
-- neighbours.
-- Lock: the merchant's.
-- Raises: PR111 no array, PR401, PR901, PR902 (merchant.lock_merchant).
CREATE OR REPLACE FUNCTION payrail.create_payouts(
    p_merchant_id uuid, p_requests payrail.payout_request[], p_owner text DEFAULT NULL, p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.answer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_request payrail.payout_request;
    v_answer payrail.answer;
    v_now timestamptz;
    v_accepted boolean := FALSE;
BEGIN
    IF p_requests IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'requests');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);
    v_now := rail.clock();
    FOREACH v_request IN ARRAY p_requests LOOP
        v_answer := payrail.answer_request(p_merchant_id, v_request, v_now, p_owner, p_actor);
        v_accepted := v_accepted OR (v_answer.status = 201 AND NOT v_answer.replayed);
        RETURN NEXT v_answer;
    END LOOP;
    IF v_accepted AND NOT rail.dispatch_is_waiting() THEN
        PERFORM rail.wake_worker();
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.create_payouts IS
'Creates payouts of one merchant under one lock and one commit. Per request, in order: the HTTP status (201 created,
400/422 rejected), the JSON body, and whether it is the stored answer to an idempotency key seen before. Amounts in
minor units, 1 to 10^15.';
