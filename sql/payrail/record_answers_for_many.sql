-- Promises: as payrail.record_answers, for payouts of many merchants under one commit: one row per answer, in order. Nobody waits for
-- another's lock: where somebody else holds the merchant's row, or there is no such merchant, the row is NULLs and nothing is done;
-- ask again with p_wait, which waits for all of their merchants, in the order of their ids.
-- Lock: those of the merchants that are free, or all of them.
-- Raises: PR111 no array, PR901, PR902; with p_wait PR401 no such merchant.
CREATE OR REPLACE FUNCTION payrail.record_answers_for_many(
    p_answers payrail.addressed_answer[], p_actor text DEFAULT NULL, p_wait boolean DEFAULT FALSE
)
RETURNS TABLE (payout_id uuid, effect text, status text, detail text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_locked uuid[];
BEGIN
    IF p_answers IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'answers');
    END IF;
    v_locked := merchant.lock_merchants(ARRAY(SELECT a.merchant_id FROM unnest(p_answers) a), p_wait);
    RETURN QUERY
    SELECT a.*
    FROM payrail.apply_answers(
        ARRAY(
            SELECT CASE WHEN r.merchant_id = ANY (v_locked) THEN r END
            FROM unnest(p_answers) r
        ), p_actor
    ) a;
END
$$;

COMMENT ON FUNCTION payrail.record_answers_for_many IS
'Records what a bank said of payouts of many merchants under one commit. Per answer, in order, what payrail.record_answers tells; NULLs where
somebody else holds the merchant''s lock, or there is no such merchant: then nothing was done. With p_wait it waits for their locks.';
