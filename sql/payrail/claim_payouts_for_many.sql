-- Promises: as payrail.claim_payouts, for many merchants under one commit; p_limit is that of each. Nobody waits for another's lock: of a
-- merchant whose row somebody else holds, or who is not there, nothing is claimed, and there is one row with NULLs; ask again with p_wait,
-- which waits for all of them, in the order of their ids.
-- Lock: those of the merchants that are free, or all of them.
-- Raises: PR111 no array, a limit or lease out of bounds, PR901, PR902; with p_wait PR401 no such merchant.
CREATE OR REPLACE FUNCTION payrail.claim_payouts_for_many(
    p_merchant_ids uuid[], p_limit integer DEFAULT 100, p_lease interval DEFAULT '30 seconds', p_actor text DEFAULT NULL,
    p_rails text[] DEFAULT NULL, p_wait boolean DEFAULT FALSE
)
RETURNS TABLE (
    merchant_id uuid,
    payout_id uuid,
    action text,
    rail text,
    rail_ref text,
    amount bigint,
    currency text,
    account_number text,
    ifsc text,
    vpa text,
    iban text,
    holder_name text,
    mode text,
    narration text,
    attempt integer,
    send_before timestamptz
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_locked uuid[];
BEGIN
    IF p_merchant_ids IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'merchant_ids');
    END IF;
    v_locked := merchant.lock_merchants(p_merchant_ids, p_wait);
    FOREACH merchant_id IN ARRAY v_locked LOOP
        RETURN QUERY
        SELECT
            merchant_id,
            c.*
        FROM payrail.claim_payouts(merchant_id, p_limit, p_lease, p_actor, p_rails) c;
    END LOOP;
    FOR merchant_id IN SELECT DISTINCT u FROM unnest(p_merchant_ids) u WHERE u <> ALL (v_locked) LOOP
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION payrail.claim_payouts_for_many IS
'Hands the due payouts of many merchants to a worker, up to p_limit of each, as payrail.claim_payouts does, under one commit. One row with
NULLs for a merchant whose lock somebody else holds, or who is not there: then nothing was claimed. With p_wait it waits for their locks.';
