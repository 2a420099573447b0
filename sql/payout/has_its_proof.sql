-- Promises: whether a payout carries what its status must be able to show, and nothing that belongs to another: an open
-- one when to act next, a processing one its lease, a settled one the bank's reference and when, a failed one the bank's
-- reason, a returned one all of a settled one and why it came back. Held by the trigger payout.apply_transition.
CREATE OR REPLACE FUNCTION payout.has_its_proof(p_payout payout.payouts)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
RETURN
    (p_payout.next_action_at IS NOT NULL) = (p_payout.status = 'pending' OR p_payout.status = 'processing')
    AND (p_payout.send_before IS NOT NULL OR p_payout.status <> 'processing')
    AND (p_payout.settled_at IS NOT NULL) = (p_payout.status = 'settled' OR p_payout.status = 'returned')
    AND (p_payout.settled_at IS NULL) = (p_payout.utr IS NULL)
    AND (p_payout.failure_code IS NOT NULL) = (p_payout.status = 'failed')
    AND (p_payout.returned_at IS NOT NULL) = (p_payout.status = 'returned')
    AND (p_payout.returned_at IS NULL) = (p_payout.return_code IS NULL);
