CREATE OR REPLACE VIEW payrail.file_items AS
SELECT
    f.file_id,
    f.rail_ref,
    f.merchant_id,
    f.payout_id,
    p.status,
    p.amount::bigint AS amount,
    p.currency,
    NULL AS outcome,
    NULL AS code
FROM rail.filed_instructions f
INNER JOIN payout.payouts p ON f.merchant_id = p.merchant_id AND f.payout_id = p.payout_id
WHERE f.file_id IS NOT NULL
UNION ALL
SELECT
    n.file_id,
    n.rail_ref,
    i.merchant_id,
    i.payout_id,
    p.status,
    p.amount::bigint,
    p.currency,
    n.outcome,
    n.code
FROM rail.notices n
LEFT JOIN rail.instructions i ON n.rail_ref = i.rail_ref
LEFT JOIN payout.payouts p ON i.merchant_id = p.merchant_id AND i.payout_id = p.payout_id
WHERE n.file_id IS NOT NULL;

COMMENT ON VIEW payrail.file_items IS
'The payouts in a file, and what a bank''s file says of each: outcome, and code as in payrail.notices.';
