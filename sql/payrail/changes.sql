-- Promises: what has changed of these merchants since the event and the ledger entry that each has seen, for pages that are open: a row
-- per merchant with anything new, with its newest numbers, its balances, how many payouts await approval, and the payouts concerned. When
-- those are more than twenty-five, it says so and shows the twenty-five newest instead, which is what the first page of a list shows.
-- entry_seq counts the entries of all currencies together.
CREATE OR REPLACE FUNCTION payrail.changes(p_merchant_ids uuid[], p_events bigint[], p_entries bigint[])
RETURNS TABLE (
    merchant_id uuid, event_seq bigint, entry_seq bigint, balances jsonb, is_more boolean, awaiting integer, payouts json
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        w.merchant_id,
        coalesce(v.seq, 0),
        coalesce(l.seq, 0),
        (
            SELECT
                jsonb_agg(
                    jsonb_build_object('currency', b.currency, 'available', b.available, 'held', b.held)
                    ORDER BY b.currency <> 'INR', b.currency
                )
            FROM payrail.balances b
            WHERE b.merchant_id = w.merchant_id
        ),
        coalesce(v.seq - w.event_seq > 25, FALSE),
        payrail.awaiting_approval(w.merchant_id),
        (
            SELECT coalesce(json_agg(payrail.payout_json(c) ORDER BY c.payout_id), '[]')
            FROM (
                (
                    SELECT p.*
                    FROM payrail.payouts p
                    WHERE p.merchant_id = w.merchant_id AND v.seq - w.event_seq > 25
                    ORDER BY p.payout_id DESC
                    LIMIT 25
                )
                UNION ALL
                SELECT p.*
                FROM payrail.payouts p
                WHERE
                    p.merchant_id = w.merchant_id
                    AND v.seq - w.event_seq <= 25
                    AND p.payout_id IN (
                        SELECT n.payout_id
                        FROM webhook.events n
                        WHERE n.merchant_id = w.merchant_id AND n.seq > w.event_seq
                    )
            ) c
        )
    FROM unnest(p_merchant_ids, p_events, p_entries) w (merchant_id, event_seq, entry_seq)
    LEFT JOIN LATERAL (
        SELECT e.seq
        FROM webhook.events e
        WHERE e.merchant_id = w.merchant_id
        ORDER BY e.seq DESC
        LIMIT 1
    ) v ON TRUE
    LEFT JOIN LATERAL (
        SELECT sum(n.seq)::bigint AS seq
        FROM ledger.books k
        CROSS JOIN LATERAL (
            SELECT e.seq
            FROM ledger.entries e
            WHERE e.merchant_id = k.merchant_id AND e.currency = k.currency
            ORDER BY e.seq DESC
            LIMIT 1
        ) n
        WHERE k.merchant_id = w.merchant_id
    ) l ON TRUE
    WHERE (coalesce(v.seq, 0), coalesce(l.seq, 0)) <> (w.event_seq, w.entry_seq);
END
$$;

COMMENT ON FUNCTION payrail.changes IS
'What is new of merchants whose dashboard is open, since the event and the ledger entry that each has seen. Minor units; INR first.';
