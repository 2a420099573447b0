-- Promises: a settled payout that the beneficiary's bank sent back is returned and its money available again.
-- Said again with the same code: no effect.
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
    v_now timestamptz := clock_timestamp();
BEGIN
    IF length(p_return_code) BETWEEN 1 AND 35 IS NOT TRUE THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'return_code', 'minimum', 1, 'maximum', 35);
    END IF;
    v_payout := payout.lock_payout(p_merchant_id, p_payout_id);

    IF v_payout.return_code <> p_return_code THEN
        PERFORM payrail.raise_effect(p_payout_id, 'contradicted', v_payout.status, NULL);
    ELSIF v_payout.return_code IS NULL THEN
        IF (
            SELECT b.available + b.held + v_payout.amount > 1000000000000000000
            FROM payrail.balances b
            WHERE b.merchant_id = p_merchant_id AND b.currency = v_payout.currency
        ) THEN
            RAISE EXCEPTION 'the balance would pass 10^18 minor units'
                USING ERRCODE = 'PR302', DETAIL = json_build_object('field', 'amount');
        END IF;
        UPDATE payout.payouts p
        SET
            status = 'returned',
            return_code = p_return_code,
            returned_at = v_now,
            actor = payrail.actor(p_actor),
            reason = left(p_reason, 500)
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
        PERFORM rail.record_evidence(
            p_merchant_id, p_payout_id, 'returned', 'applied', p_return_code, payrail.actor(p_actor), p_answer
        );
    END IF;

    RETURN QUERY
    SELECT p.*
    FROM payrail.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
END
$$;

COMMENT ON FUNCTION payrail.return_payout IS
'Records that a settled payout came back and makes its money available again. Repeating it changes nothing.';
