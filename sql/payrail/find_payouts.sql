-- Promises: the payouts of all merchants that have this id, reference, UTR or idempotency key, newest first, each with what of it
-- matched. There is no index across merchants, which every new payout would pay for: each merchant's indexes are asked.
CREATE OR REPLACE FUNCTION payrail.find_payouts(p_text text, p_payout_id uuid DEFAULT NULL, p_limit integer DEFAULT 50)
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
        array_agg(f.why ORDER BY f.why)
    FROM merchant.merchants m
    CROSS JOIN LATERAL (
        SELECT
            i.payout_id,
            'id' AS why
        FROM payout.payouts i
        WHERE i.merchant_id = m.merchant_id AND i.payout_id = p_payout_id
        UNION ALL
        (
            SELECT
                r.payout_id,
                'reference'
            FROM payout.payouts r
            WHERE r.merchant_id = m.merchant_id AND r.reference = p_text
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT
                u.payout_id,
                'utr'
            FROM payout.payouts u
            WHERE u.merchant_id = m.merchant_id AND u.utr = p_text
            LIMIT p_limit
        )
        UNION ALL
        SELECT
            k.payout_id,
            'idempotency_key'
        FROM payout.idempotency_keys k
        WHERE k.merchant_id = m.merchant_id AND k.idempotency_key = p_text
    ) f
    INNER JOIN payout.payouts p ON m.merchant_id = p.merchant_id AND f.payout_id = p.payout_id
    GROUP BY m.merchant_id, p.merchant_id, p.payout_id
    ORDER BY p.payout_id DESC
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION payrail.find_payouts IS
'Payouts of any merchant by id (p_payout_id), or by reference, UTR or idempotency key (p_text), newest first, and what of it matched.';
