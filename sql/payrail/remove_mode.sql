-- Promises: no new payout goes by this mode, and its fees are gone with it; those that were to are sent all the same. With
-- p_session_hash, who did it is whoever is signed in to the console with it. One row in the log of actions; repeating it changes nothing.
-- Lock: the mode's row, before its fees are looked for: whoever is just setting one waits, or is waited for.
-- Raises: PR503 nobody is signed in with it.
CREATE OR REPLACE FUNCTION payrail.remove_mode(
    p_rail text, p_mode text, p_currency text, p_actor text DEFAULT NULL, p_session_hash bytea DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_actor text := payrail.acting(p_actor, p_session_hash);
BEGIN
    PERFORM
    FROM rail.modes m
    WHERE m.rail = p_rail AND m.mode = p_mode AND m.currency = p_currency
    FOR UPDATE;
    DELETE FROM rail.fees f
    WHERE f.rail = p_rail AND f.mode = p_mode AND f.currency = p_currency;
    DELETE FROM rail.modes m
    WHERE m.rail = p_rail AND m.mode = p_mode AND m.currency = p_currency;
    IF FOUND THEN
        INSERT INTO merchant.operator_actions (actor, action, object)
        VALUES (v_actor, 'mode_removed', concat_ws(' ', p_rail, p_mode, p_currency));
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.remove_mode IS 'Takes a mode, with its fees, from a bank. A bank without modes for a kind of account is given all payouts to it.';
