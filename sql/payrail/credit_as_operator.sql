-- Promises: as payrail.credit_merchant, by whoever is signed in to the console with this session; with the money comes one row in the
-- log of actions, and a repeated call adds neither.
-- Lock: the merchant's.
-- Raises: PR503 nobody is signed in with it; and as payrail.credit_merchant PR101, PR102, PR104, PR203, PR302, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.credit_as_operator(
    p_merchant_id uuid, p_session_hash bytea, p_amount bigint, p_currency text, p_reference text
)
RETURNS SETOF payrail.ledger_entries
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_operator text;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);
    SELECT s.* INTO v_operator FROM payrail.resume_operator_session(p_session_hash) s;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session is over' USING ERRCODE = 'PR503';
    END IF;
    RETURN QUERY
    SELECT c.*
    FROM payrail.credit_merchant(p_merchant_id, p_amount, p_currency, p_reference, v_operator) c;
END
$$;

COMMENT ON FUNCTION payrail.credit_as_operator IS
'payrail.credit_merchant for the console: who did it is taken from the session and written into the log of actions with it.';
