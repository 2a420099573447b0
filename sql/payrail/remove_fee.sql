-- Promises: the fee from this amount on is no more; new payouts have that of the next lower amount, or none. Payouts that are there keep
-- theirs. With p_session_hash, who did it is whoever is signed in to the console with it. One row in the log of actions; repeating it
-- changes nothing.
-- Raises: PR503 nobody is signed in with it.
CREATE OR REPLACE FUNCTION payrail.remove_fee(
    p_rail text,
    p_mode text,
    p_currency text,
    p_amount_from bigint DEFAULT 1,
    p_actor text DEFAULT NULL,
    p_session_hash bytea DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_actor text := payrail.acting(p_actor, p_session_hash);
BEGIN
    DELETE FROM rail.fees f
    WHERE f.rail = p_rail AND f.mode = p_mode AND f.currency = p_currency AND f.amount_from = p_amount_from;
    IF FOUND THEN
        INSERT INTO merchant.operator_actions (actor, action, object, detail)
        VALUES (v_actor, 'fee_removed', concat_ws(' ', p_rail, p_mode, p_currency), jsonb_build_object('amount_from', p_amount_from));
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.remove_fee IS 'Takes away the fee that a mode of a bank has from an amount on.';
