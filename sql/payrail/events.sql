CREATE OR REPLACE VIEW payrail.events AS
SELECT
    e.merchant_id,
    e.seq,
    'evt_' || replace(e.merchant_id::text, '-', '') || '_' || e.seq AS event_id,
    coalesce(
        e.type,
        'payout.' || CASE
            WHEN e.from_status IS NULL AND e.to_status = 'pending' THEN 'created'
            WHEN e.from_status = 'awaiting_approval' AND e.to_status IN ('pending', 'scheduled') THEN 'approved'
            ELSE e.to_status
        END
    ) AS type,
    e.payout_id,
    e.payout_version,
    e.from_status,
    e.to_status,
    e.actor,
    e.reason,
    e.created_at,
    e.data
FROM webhook.events e;

COMMENT ON VIEW payrail.events IS
'What happened to a merchant''s payouts, money and webhooks: numbered per merchant in commit order without gaps. data is NULL where a
payout_id is.';
