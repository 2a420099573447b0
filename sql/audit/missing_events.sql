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
        (v.payout_id IS NULL) = (v.type IS NULL) OR (v.type IS NULL) <> (v.data IS NULL) AS is_of_nothing,
        v.seq - coalesce(lag(v.seq) OVER (PARTITION BY v.merchant_id ORDER BY v.seq), 0) AS step
    FROM webhook.events v
) e
WHERE e.step <> 1 OR e.is_of_nothing;

COMMENT ON VIEW audit.missing_events IS 'Events are numbered without gaps, and each is about a payout or says what it is about.';
