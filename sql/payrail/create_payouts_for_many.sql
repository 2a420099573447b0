-- Promises: as payrail.create_payouts, for requests of many merchants at once: one answer per request, in order, under one commit. Nobody
-- waits for another's lock: the requests of a merchant whose row somebody else holds, or who is not there, get no answer (NULLs) and
-- nothing is done; ask for them with p_wait, which waits for all of their merchants, in the order of their ids. Who asks with an API key
-- (key_hash) that has been revoked or has expired is answered 401, and nothing is done.
-- Lock: those of the merchants that are free, or all of them.
-- Raises: PR111 no array, PR901, PR902; with p_wait PR401 no such merchant.
CREATE OR REPLACE FUNCTION payrail.create_payouts_for_many(p_requests payrail.addressed_request[], p_wait boolean DEFAULT FALSE)
RETURNS SETOF payrail.answer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_merchant_ids uuid[];
    v_refused bigint[];
    v_line bigint;
    v_answers payrail.answer[];
BEGIN
    IF p_requests IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'requests');
    END IF;
    v_merchant_ids := merchant.lock_merchants(ARRAY(SELECT r.merchant_id FROM unnest(p_requests) r), p_wait);
    -- under the lock, which whoever revokes a key takes as well
    v_refused := ARRAY(
        SELECT r.line
        FROM unnest(p_requests) WITH ORDINALITY r (merchant_id, owner, actor, key_hash, request, line)
        WHERE
            r.key_hash IS NOT NULL
            AND NOT EXISTS (
                SELECT
                FROM merchant.api_keys k
                WHERE
                    k.key_hash = r.key_hash
                    AND k.merchant_id = r.merchant_id
                    AND k.revoked_at IS NULL
                    AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
            )
    );
    FOREACH v_line IN ARRAY v_refused LOOP
        -- the array of a caller in SQL may begin anywhere
        p_requests[array_lower(p_requests, 1) + v_line - 1] := NULL;
    END LOOP;
    v_answers := payrail.answer_requests(v_merchant_ids, p_requests, rail.clock());
    FOREACH v_line IN ARRAY v_refused LOOP
        v_answers[v_line] := ROW(401, NULL, FALSE);
    END LOOP;
    RETURN QUERY
    SELECT a.*
    FROM unnest(v_answers) a;
END
$$;

COMMENT ON FUNCTION payrail.create_payouts_for_many IS
'Creates payouts of many merchants under one commit. Per request, in order, what payrail.create_payouts answers; NULLs where somebody
else holds the merchant''s lock, or there is no such merchant: then nothing was done. With p_wait it waits for their locks. 401 where key_hash is no valid key of the merchant.';
