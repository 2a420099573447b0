CREATE OR REPLACE VIEW audit.missing_events AS
SELECT
    coalesce(h.merchant_id, e.merchant_id) AS merchant_id,
    coalesce(h.payout_id, e.payout_id) AS payout_id,
    h.seq AS payout_version,
    e.seq AS event_seq
FROM payout.history h
FULL JOIN (
    SELECT
        v.merchant_id,
        v.payout_id,
        v.payout_version,
        v.type,
        v.seq,
        v.seq - coalesce(lag(v.seq) OVER (PARTITION BY v.merchant_id ORDER BY v.seq), 0) AS step,
        count(*) OVER (PARTITION BY v.merchant_id, v.payout_id, v.payout_version) AS copies
    FROM webhook.events v
) e ON h.merchant_id = e.merchant_id AND h.payout_id = e.payout_id AND h.seq = e.payout_version
WHERE
    h.payout_id IS NULL
    OR e.payout_id IS NULL
    OR e.type <> 'payout.' || CASE WHEN h.from_status IS NULL THEN 'created' ELSE h.to_status END
    OR e.step <> 1
    OR e.copies <> 1;

COMMENT ON VIEW audit.missing_events IS 'Every change has exactly one event, and events are numbered without gaps.';
