CREATE OR REPLACE VIEW audit.payout_entries AS
SELECT
    coalesce(p.merchant_id, e.merchant_id) AS merchant_id,
    coalesce(p.payout_id, e.payout_id) AS payout_id,
    p.status,
    e.entries
FROM payout.payouts p
FULL JOIN (
    SELECT
        l.merchant_id,
        l.payout_id,
        array_agg(l.kind || ' ' || l.amount ORDER BY l.seq) AS entries,
        min(l.currency) AS min_currency,
        max(l.currency) AS max_currency
    FROM ledger.entries l
    WHERE l.payout_id IS NOT NULL
    GROUP BY l.merchant_id, l.payout_id
) e ON p.merchant_id = e.merchant_id AND p.payout_id = e.payout_id
CROSS JOIN LATERAL (
    SELECT
        'hold ' || (p.amount + p.fee) AS hold,
        'release ' || (p.amount + p.fee) AS release,
        'settle ' || p.amount AS settle,
        'return ' || p.amount AS return,
        CASE WHEN p.fee > 0 THEN 'fee ' || p.fee END AS fee
) t
WHERE
    p.payout_id IS NULL
    OR (p.held_at IS NULL) <> (e.entries IS NULL)
    OR p.held_at IS NULL AND p.status NOT IN ('awaiting_approval', 'scheduled', 'queued', 'failed', 'cancelled', 'rejected', 'expired')
    OR e.entries <> array_remove(
        CASE p.status
            WHEN 'awaiting_approval' THEN ARRAY[t.hold]
            WHEN 'pending' THEN ARRAY[t.hold]
            WHEN 'processing' THEN ARRAY[t.hold]
            WHEN 'settled' THEN ARRAY[t.hold, t.settle, t.fee]
            WHEN 'returned' THEN ARRAY[t.hold, t.settle, t.fee, t.return]
            WHEN 'scheduled' THEN ARRAY[]::text[]
            WHEN 'queued' THEN ARRAY[]::text[]
            ELSE ARRAY[t.hold, t.release]
        END,
        NULL
    )
    OR e.entries IS NOT NULL AND (e.min_currency, e.max_currency) IS DISTINCT FROM (p.currency, p.currency);

COMMENT ON VIEW audit.payout_entries IS 'Each payout''s ledger entries are exactly what its status implies, in its amount, fee and currency.';
