CREATE OR REPLACE VIEW audit.missing_events AS
SELECT
    e.merchant_id,
    e.seq,
    e.payout_id
FROM (
    SELECT
        v.merchant_id,
        v.seq,
        v.payout_id,
        v.seq - coalesce(lag(v.seq) OVER (PARTITION BY v.merchant_id ORDER BY v.seq), 0) AS step
    FROM webhook.events v
) e
WHERE e.step <> 1;

COMMENT ON VIEW audit.missing_events IS 'Events are numbered without gaps.';
