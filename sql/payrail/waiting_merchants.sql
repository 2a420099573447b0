-- Promises: the merchants of whom something is due that needs no bank (payrail.advance_payouts), by a plain read: no lock, and advancing
-- checks again.
CREATE OR REPLACE FUNCTION payrail.waiting_merchants(p_limit integer DEFAULT 1000)
RETURNS SETOF uuid
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.due_merchants
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    RETURN QUERY
    SELECT DISTINCT p.merchant_id
    FROM payout.payouts p
    WHERE p.status IN ('awaiting_approval', 'scheduled', 'queued') AND p.next_action_at <= v_now
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION payrail.waiting_merchants IS
'Merchants with payouts that are due and need no bank: scheduled ones, and those that waited too long for an approval or for money.';
