-- Promises: the merchants with work that is due, by a plain read: no lock, and claiming checks again.
CREATE OR REPLACE FUNCTION payrail.due_merchants(p_limit integer DEFAULT 1000, p_rails text[] DEFAULT NULL)
RETURNS SETOF uuid
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- before the first ANALYZE, and with a plan kept from before it, every payout would be read to find the few that are due
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    RETURN QUERY
    SELECT DISTINCT p.merchant_id
    FROM payout.payouts p
    INNER JOIN merchant.bank_accounts b ON p.merchant_id = b.merchant_id AND p.bank_account_id = b.bank_account_id
    WHERE
        p.next_action_at <= v_now
        AND p.status NOT IN ('awaiting_approval', 'scheduled', 'queued')
        AND (p_rails IS NULL OR b.rail = ANY (p_rails))
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION payrail.due_merchants IS 'Merchants with payouts to be sent or asked about now, at one of these banks; at any if p_rails is NULL.';
