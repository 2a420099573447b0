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
BEGIN
    IF p_requests IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'requests');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);
    RETURN QUERY
    SELECT a.*
    FROM unnest(payrail.answer_requests(
        ARRAY[p_merchant_id],
        ARRAY(SELECT ROW(p_merchant_id, p_owner, p_actor, NULL, r)::payrail.addressed_request FROM unnest(p_requests) r),
        rail.clock()
    )) a;
END
$$;

COMMENT ON FUNCTION payrail.create_payouts IS
'Creates payouts of one merchant under one lock and one commit. Per request, in order: the HTTP status (201 created,
400/422 rejected), the JSON body, and whether it is the stored answer to an idempotency key seen before. Amounts in
minor units, 1 to 10^15.';
