-- Promises: rail.keep_notices, of what came by callback.
-- Lock: the merchants', in the order of their ids.
-- Raises: PR111 no such rail, or a malformed notice.
CREATE OR REPLACE FUNCTION payrail.receive_notices(p_rail text, p_notices payrail.notice[])
RETURNS TABLE (event_id text, effect text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        k.event_id,
        k.effect
    FROM rail.keep_notices(p_rail, p_notices, payrail.actor(NULL)) k;
END
$$;

COMMENT ON FUNCTION payrail.receive_notices IS
'Keeps what a bank said by itself (a callback), once per event_id, and makes the payouts due to be asked about. Per
notice: stored, repeated, or unmatched when no payout was ever sent under this reference.';
