CREATE OR REPLACE VIEW audit.broken_batches AS
SELECT
    b.merchant_id,
    b.batch_id,
    b.status,
    b.lines,
    b.accepted,
    b.rejected,
    l.lines AS lines_there,
    a.accepted AS accepted_there,
    a.rejected AS rejected_there,
    a.without_payout
FROM payout.batches b
CROSS JOIN LATERAL (
    SELECT count(*) AS lines
    FROM payout.batch_lines i
    WHERE i.merchant_id = b.merchant_id AND i.batch_id = b.batch_id
) l
CROSS JOIN LATERAL (
    SELECT
        count(i.payout_id) AS accepted,
        count(i.code) AS rejected,
        count(i.payout_id) FILTER (WHERE p.payout_id IS NULL) AS without_payout
    FROM payout.batch_answers i
    LEFT JOIN payout.payouts p ON i.merchant_id = p.merchant_id AND i.payout_id = p.payout_id
    WHERE i.merchant_id = b.merchant_id AND i.batch_id = b.batch_id
) a
WHERE
    (b.lines, b.accepted, b.rejected, 0) IS DISTINCT FROM (l.lines, a.accepted, a.rejected, a.without_payout)
    OR (
        b.completed_at IS NULL
        AND b.created_at < now() - interval '5 minutes'
        -- no batch of this merchant, each waiting for the one before, has advanced either
        AND NOT EXISTS (
            SELECT
            FROM payout.batches o
            WHERE o.merchant_id = b.merchant_id AND o.advanced_at > now() - interval '5 minutes'
        )
    );

COMMENT ON VIEW audit.broken_batches IS
'Every batch has as many lines, payouts and refusals as it counts, and no merchant''s batches stand still for five minutes.';
