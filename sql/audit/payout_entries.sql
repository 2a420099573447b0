CREATE OR REPLACE VIEW audit.payout_entries AS
SELECT
    coalesce(p.merchant_id, e.merchant_id) AS merchant_id,
    coalesce(p.payout_id, e.payout_id) AS payout_id,
    p.status,
    e.kinds
FROM payout.payouts p
FULL JOIN (
    SELECT
        l.merchant_id,
        l.payout_id,
        array_agg(l.kind ORDER BY l.seq) AS kinds,
        min(l.amount) AS min_amount,
        max(l.amount) AS max_amount,
        min(l.currency) AS min_currency,
        max(l.currency) AS max_currency
    FROM ledger.entries l
    WHERE l.payout_id IS NOT NULL
    GROUP BY l.merchant_id, l.payout_id
) e ON p.merchant_id = e.merchant_id AND p.payout_id = e.payout_id
WHERE
    p.payout_id IS NULL
    OR (p.held_at IS NULL) <> (e.kinds IS NULL)
    OR p.held_at IS NULL AND p.status NOT IN ('awaiting_approval', 'scheduled', 'queued', 'failed', 'cancelled', 'rejected', 'expired')
    OR e.kinds <> CASE p.status
        WHEN 'awaiting_approval' THEN ARRAY['hold']
        WHEN 'pending' THEN ARRAY['hold']
        WHEN 'processing' THEN ARRAY['hold']
        WHEN 'settled' THEN ARRAY['hold', 'settle']
        WHEN 'returned' THEN ARRAY['hold', 'settle', 'return']
        WHEN 'scheduled' THEN ARRAY[]::text[]
        WHEN 'queued' THEN ARRAY[]::text[]
        ELSE ARRAY['hold', 'release']
    END
    OR e.kinds IS NOT NULL
    AND (e.min_amount, e.max_amount, e.min_currency, e.max_currency) IS DISTINCT FROM (p.amount, p.amount, p.currency, p.currency);

COMMENT ON VIEW audit.payout_entries IS 'Each payout''s ledger entries are exactly what its status implies, in its amount and currency.';
