-- Promises: no new payout goes by this mode; those that were to are sent all the same. Repeating it changes nothing.
CREATE OR REPLACE FUNCTION payrail.remove_mode(p_rail text, p_mode text, p_currency text)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM rail.modes m
    WHERE m.rail = p_rail AND m.mode = p_mode AND m.currency = p_currency;
END
$$;

COMMENT ON FUNCTION payrail.remove_mode IS 'Takes a mode from a bank. A bank without modes for a kind of account is given all payouts to it.';
