CREATE OR REPLACE VIEW audit.broken_history AS
SELECT
    coalesce(h.merchant_id, p.merchant_id) AS merchant_id,
    coalesce(h.payout_id, p.payout_id) AS payout_id,
    h.seq,
    h.from_status,
    h.to_status,
    p.status
FROM (
    SELECT
        c.merchant_id,
        c.payout_id,
        c.seq,
        c.from_status,
        c.to_status,
        lag(c.to_status) OVER changes AS previous_status,
        coalesce(lag(c.seq) OVER changes, 0) AS previous_seq,
        lead(c.seq) OVER changes IS NULL AS newest
    FROM payout.history c
    WINDOW changes AS (PARTITION BY c.merchant_id, c.payout_id ORDER BY c.seq)
) h
FULL JOIN payout.payouts p ON h.merchant_id = p.merchant_id AND h.payout_id = p.payout_id
LEFT JOIN payout.transitions t ON coalesce(h.from_status, 'new') = t.from_status AND h.to_status = t.to_status
WHERE
    h.payout_id IS NULL
    OR p.payout_id IS NULL
    OR t.to_status IS NULL
    OR h.from_status IS DISTINCT FROM h.previous_status
    OR h.seq <> h.previous_seq + 1
    OR (h.newest AND (h.to_status, h.seq) <> (p.status, p.version));

COMMENT ON VIEW audit.broken_history IS 'Every change in the history is allowed, follows the one before, and the newest is the payout''s status.';
