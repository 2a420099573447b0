-- The columns of payout.payouts in the table's order, so that a row of one is a row of the other.
CREATE OR REPLACE VIEW payrail.payouts AS
SELECT
    p.merchant_id,
    p.payout_id,
    p.amount,
    p.created_at,
    p.updated_at,
    p.settled_at,
    p.returned_at,
    p.send_before,
    p.next_action_at,
    p.version,
    p.attempts,
    p.status,
    p.currency,
    p.bank_account_id,
    p.reference,
    p.utr,
    p.failure_code,
    p.failure_reason,
    p.return_code,
    p.unknown_reason,
    p.actor,
    p.reason,
    p.metadata,
    p.rail_ref,
    p.held_at,
    p.scheduled_at,
    p.expires_at,
    p.approvals_required,
    p.queue_if_low_balance,
    p.narration,
    p.retry_of,
    p.created_by
FROM payout.payouts p;

COMMENT ON VIEW payrail.payouts IS 'Payouts, one row each; amounts in minor units.';
