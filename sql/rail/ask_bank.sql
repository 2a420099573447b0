-- Promises: payouts of which a bank has told something new are due to be asked about now. What was thought never to have left, and the
-- bank tells of, has: it is processing again, and is neither sent nor cancelled any more.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.ask_bank(p_merchant_id uuid, p_payout_ids uuid[], p_actor text, p_now timestamptz)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE payout.payouts p
    SET
        status = CASE p.status WHEN 'pending' THEN 'processing' ELSE p.status END,
        next_action_at = least(p.next_action_at, p_now),
        unknown_reason = CASE p.status WHEN 'pending' THEN 'the bank has told of it' ELSE p.unknown_reason END,
        actor = CASE p.status WHEN 'pending' THEN p_actor ELSE p.actor END,
        reason = CASE p.status WHEN 'pending' THEN 'the bank has told of it' ELSE p.reason END
    WHERE
        p.merchant_id = p_merchant_id
        AND p.payout_id = ANY (p_payout_ids)
        -- what waits for something else is no bank's business
        AND p.status NOT IN ('awaiting_approval', 'scheduled', 'queued');
    PERFORM rail.wake_worker();
END
$$;
