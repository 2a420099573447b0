CREATE OR REPLACE VIEW audit.broken_idempotency AS
SELECT
    coalesce(p.merchant_id, k.merchant_id) AS merchant_id,
    coalesce(p.payout_id, k.payout_id) AS payout_id,
    k.keys
FROM payout.payouts p
FULL JOIN (
    SELECT
        i.merchant_id,
        i.payout_id,
        count(*) AS keys
    FROM payout.idempotency_keys i
    WHERE i.payout_id IS NOT NULL OR i.status = 201
    GROUP BY i.merchant_id, i.payout_id
) k ON p.merchant_id = k.merchant_id AND p.payout_id = k.payout_id
WHERE p.payout_id IS NULL OR k.keys IS DISTINCT FROM 1;

COMMENT ON VIEW audit.broken_idempotency IS 'Every payout was accepted under exactly one idempotency key.';
