-- LIMIT 1: without it a plan that was made before there were statistics, or for fewer lines, may read a whole batch for each of them.
CREATE OR REPLACE VIEW payrail.batch_lines AS
SELECT
    l.merchant_id,
    l.batch_id,
    l.line,
    CASE WHEN a.payout_id IS NOT NULL THEN 'accepted' WHEN a.code IS NOT NULL THEN 'rejected' END AS outcome,
    (l.request).idempotency_key,
    (l.request).amount,
    (l.request).currency,
    (l.request).bank_account_id,
    (l.request).reference,
    (l.request).metadata,
    a.payout_id,
    a.replayed,
    p.status::text AS payout_status,
    p.utr::text AS utr,
    p.failure_code,
    a.code,
    a.detail,
    p.fee
FROM payout.batch_lines l
LEFT JOIN LATERAL (
    SELECT i.*
    FROM payout.batch_answers i
    WHERE i.merchant_id = l.merchant_id AND i.batch_id = l.batch_id AND i.line = l.line
    ORDER BY i.line
    LIMIT 1
) a ON TRUE
LEFT JOIN LATERAL (
    SELECT
        i.status,
        i.utr,
        i.failure_code,
        i.fee
    FROM payout.payouts i
    WHERE i.merchant_id = l.merchant_id AND i.payout_id = a.payout_id
    ORDER BY i.payout_id
    LIMIT 1
) p ON TRUE;

COMMENT ON VIEW payrail.batch_lines IS
'The lines of batches: what was asked for in each, and its payout as it is now, or why there is none. Amounts in minor units.';
