CREATE OR REPLACE VIEW audit.missing_events AS
SELECT
    e.merchant_id,
    e.seq,
    e.payout_id,
    e.type
FROM (
    SELECT
        v.merchant_id,
        v.seq,
        v.payout_id,
        v.type,
        'payout.' || CASE WHEN v.from_status IS NULL THEN 'created' ELSE v.to_status END AS expected_type,
        v.seq - coalesce(lag(v.seq) OVER (PARTITION BY v.merchant_id ORDER BY v.seq), 0) AS step
    FROM webhook.events v
) e
WHERE e.step <> 1 OR e.type <> e.expected_type;

COMMENT ON VIEW audit.missing_events IS 'Events are numbered without gaps and named after what happened.';
