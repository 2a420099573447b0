-- Promises: from the next payout on, this is the fee of those by this mode of this amount or more, up to the next amount_from that there
-- is; payouts that are there keep theirs. With p_session_hash, who did it is whoever is signed in to the console with it. One row in the
-- log of actions; none if nothing changes.
-- Lock: the mode's row, which whoever removes the mode waits for.
-- Raises: PR111 a malformed field, or no such mode; PR503 nobody is signed in with it.
CREATE OR REPLACE FUNCTION payrail.set_fee(
    p_rail text,
    p_mode text,
    p_currency text,
    p_amount_from bigint DEFAULT 1,
    p_fixed bigint DEFAULT 0,
    p_basis_points integer DEFAULT 0,
    p_actor text DEFAULT NULL,
    p_session_hash bytea DEFAULT NULL
)
RETURNS SETOF payrail.fees
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_actor text := payrail.acting(p_actor, p_session_hash);
    v_field text;
BEGIN
    PERFORM
    FROM rail.modes m
    WHERE m.rail = p_rail AND m.mode = p_mode AND m.currency = p_currency
    FOR KEY SHARE;
    v_field := CASE
        WHEN NOT FOUND THEN 'mode'
        WHEN p_amount_from BETWEEN 1 AND 1000000000000000 IS NOT TRUE THEN 'amount_from'
        WHEN p_fixed BETWEEN 0 AND 1000000000000 IS NOT TRUE THEN 'fixed'
        WHEN p_basis_points BETWEEN 0 AND 10000 IS NOT TRUE THEN 'basis_points'
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;

    INSERT INTO rail.fees AS f (rail, mode, currency, amount_from, fixed, basis_points)
    VALUES (p_rail, p_mode, p_currency, p_amount_from, p_fixed, p_basis_points)
    ON CONFLICT (rail, mode, currency, amount_from) DO UPDATE
        SET
            fixed = excluded.fixed,
            basis_points = excluded.basis_points
        WHERE (f.fixed, f.basis_points) <> (excluded.fixed, excluded.basis_points);
    IF FOUND THEN
        INSERT INTO merchant.operator_actions (actor, action, object, detail)
        VALUES (
            v_actor,
            'fee_set',
            concat_ws(' ', p_rail, p_mode, p_currency),
            jsonb_build_object('amount_from', p_amount_from, 'fixed', p_fixed, 'basis_points', p_basis_points)
        );
    END IF;

    RETURN QUERY
    SELECT f.*
    FROM payrail.fees f
    WHERE f.rail = p_rail AND f.mode = p_mode AND f.currency = p_currency AND f.amount_from = p_amount_from;
END
$$;

COMMENT ON FUNCTION payrail.set_fee IS
'Sets the fee of payouts by a mode of a bank, of p_amount_from or more: p_fixed (minor units, up to 10^12) and p_basis_points of the amount
(1 is 0.01%, up to 10000), rounded half up. Of several the greatest p_amount_from that is not above the amount counts.';
