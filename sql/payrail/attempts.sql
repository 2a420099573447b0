CREATE OR REPLACE VIEW payrail.attempts AS
SELECT
    a.merchant_id,
    a.payout_id,
    a.attempt,
    a.action,
    a.rail,
    a.claimed_at,
    a.send_before,
    a.actor
FROM rail.attempts a;

COMMENT ON VIEW payrail.attempts IS
'Each time a worker took a payout: to submit it, until send_before at the latest, or to enquire about it.';
