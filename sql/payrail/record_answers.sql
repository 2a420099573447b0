-- Promises: what a bank said of these payouts of one merchant is kept and has its effect (payrail.apply_answers says which), in one commit.
-- Lock: the merchant's.
-- Raises: PR111 no array, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.record_answers(
    p_merchant_id uuid, p_answers payrail.bank_answer[], p_actor text DEFAULT NULL
)
RETURNS TABLE (payout_id uuid, effect text, status text, detail text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_answers IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'answers');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);
    RETURN QUERY
    SELECT a.*
    FROM payrail.apply_answers(
        ARRAY(SELECT ROW(p_merchant_id, r.*)::payrail.addressed_answer FROM unnest(p_answers) r), p_actor
    ) a;
END
$$;

COMMENT ON FUNCTION payrail.record_answers IS
'Records what a bank said of payouts of one merchant: paid (with utr), refused (with code), returned (with utr and code), pending,
not_found, not_sent or unknown. Per payout: applied, repeated (said before), noted (asked again later), contradicted (kept as evidence,
a case is opened, nothing changed) or refused (detail says why).';
