-- Promises: the payouts of all merchants that somebody should look at, oldest first, each with why: the kind of an open case; overdue,
-- its work is more than five minutes late; slow, the bank has left it open for an hour.
CREATE OR REPLACE FUNCTION payrail.troubled_payouts(p_limit integer DEFAULT 50)
RETURNS TABLE (
    merchant_id uuid, merchant_name text, payout_id uuid, status text, amount bigint, currency text, reference text, utr text,
    created_at timestamptz, why text[]
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.due_merchants
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT
        m.merchant_id,
        m.name,
        p.payout_id,
        p.status::text,
        p.amount::bigint,
        p.currency,
        p.reference::text,
        p.utr::text,
        p.created_at,
        array_agg(DISTINCT t.why ORDER BY t.why)
    -- each part ordered and cut like the whole: after an outage there may be millions
    FROM (
        (
            SELECT
                c.merchant_id,
                c.payout_id,
                c.kind AS why
            FROM rail.cases c
            WHERE c.closed_at IS NULL AND c.payout_id IS NOT NULL
            ORDER BY c.payout_id
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT
                o.merchant_id,
                o.payout_id,
                'overdue'
            FROM payout.payouts o
            WHERE o.next_action_at < now() - INTERVAL '5 minutes'
            ORDER BY o.payout_id
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT
                s.merchant_id,
                s.payout_id,
                'slow'
            FROM payout.payouts s
            WHERE s.next_action_at IS NOT NULL AND s.status = 'processing' AND s.updated_at < now() - INTERVAL '1 hour'
            ORDER BY s.payout_id
            LIMIT p_limit
        )
    ) t
    INNER JOIN payout.payouts p ON t.merchant_id = p.merchant_id AND t.payout_id = p.payout_id
    INNER JOIN merchant.merchants m ON p.merchant_id = m.merchant_id
    GROUP BY m.merchant_id, p.merchant_id, p.payout_id
    ORDER BY p.payout_id
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION payrail.troubled_payouts IS
'Payouts of any merchant that need attention, oldest first, and why: the kind of an open case, overdue or slow.';
