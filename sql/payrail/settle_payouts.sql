-- Promises: as payrail.record_answers for payouts that the bank has paid.
-- Lock: the merchant's.
-- Raises: PR111 no array, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.settle_payouts(
    p_merchant_id uuid, p_settlements payrail.settlement[], p_actor text DEFAULT NULL
)
RETURNS TABLE (payout_id uuid, effect text, status text, detail text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_settlements IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'settlements');
    END IF;

    RETURN QUERY
    SELECT r.*
    FROM payrail.record_answers(
        p_merchant_id => p_merchant_id,
        p_answers => ARRAY(
            SELECT ROW(s.payout_id, 'paid', NULL, s.utr, NULL, s.answer, NULL)::payrail.bank_answer
            FROM unnest(p_settlements) WITH ORDINALITY s (payout_id, utr, answer, place)
            ORDER BY s.place
        ),
        p_actor => p_actor
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.settle_payouts IS
'Records that the bank has paid these payouts of one merchant. Per payout: applied, repeated (same UTR again),
contradicted (kept as evidence, nothing changed) or refused (detail says why).';
