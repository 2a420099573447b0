-- Promises: as payrail.record_answers for one settled payout that came back, and an error where that one reports contradicted or refused.
-- Lock: the merchant's.
-- Raises: PR111 no code, PR201 it is not settled, PR202 it was returned with another code, PR302 no room in the balance,
-- PR401, PR402, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.return_payout(
    p_merchant_id uuid,
    p_payout_id uuid,
    p_return_code text,
    p_reason text DEFAULT NULL,
    p_answer jsonb DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.payouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_payout payout.payouts;
BEGIN
    v_payout := payout.lock_payout(p_merchant_id, p_payout_id);
    IF v_payout.utr IS NULL THEN
        RAISE EXCEPTION 'the payout can not go from its status to the one asked for'
            USING ERRCODE = 'PR201', DETAIL = json_build_object(
                'field', 'status', 'payout_id', p_payout_id, 'current_status', v_payout.status, 'requested_status', 'returned'
            );
    END IF;

    PERFORM payrail.raise_effect(r.payout_id, r.effect, r.status, r.detail)
    FROM payrail.record_answers(
        p_merchant_id => p_merchant_id,
        p_answers => ARRAY[
            ROW(p_payout_id, 'returned', p_return_code, v_payout.utr, p_reason, p_answer, NULL)::payrail.bank_answer
        ],
        p_actor => p_actor
    ) r;

    RETURN QUERY
    SELECT p.*
    FROM payrail.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
END
$$;

COMMENT ON FUNCTION payrail.return_payout IS
'Records that a settled payout came back and makes its money available again. Repeating it changes nothing.';
