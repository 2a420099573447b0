-- Promises: a scheduled payout whose time has come is held (payout.hold_payout) if there is money for it; else it waits in the queue, if
-- that was asked for, behind those that are there; else it has failed. Returns its new status.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.start_scheduled(p_merchant_id uuid, p_payout payout.payouts, p_actor text, p_now timestamptz)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_available bigint := payout.available_balance(p_merchant_id, p_payout.currency);
    v_status text;
    v_expires_after interval;
BEGIN
    IF p_payout.queue_if_low_balance AND payout.has_queue(p_merchant_id, p_payout.currency) THEN
        v_status := 'queued';
    ELSIF p_payout.amount + p_payout.fee <= v_available THEN
        RETURN payout.hold_payout(p_merchant_id, p_payout, p_actor, p_now);
    ELSE
        v_status := CASE WHEN p_payout.queue_if_low_balance THEN 'queued' ELSE 'failed' END;
    END IF;

    SELECT r.queue_expires_after INTO v_expires_after
    FROM merchant.rules r
    WHERE r.merchant_id = p_merchant_id AND r.currency = p_payout.currency;
    UPDATE payout.payouts p
    SET
        status = v_status,
        failure_code = CASE v_status WHEN 'failed' THEN 'insufficient_funds' END,
        failure_reason = CASE v_status
            WHEN 'failed' THEN format(
                'when its time came, the available balance %s was less than %s',
                v_available, payout.cost_in_words(p_payout.amount, p_payout.fee, p_payout.currency)
            )
        END,
        expires_at = CASE v_status WHEN 'queued' THEN p_now + coalesce(v_expires_after, INTERVAL '30 days') END,
        next_action_at = CASE v_status WHEN 'queued' THEN p_now + coalesce(v_expires_after, INTERVAL '30 days') END,
        actor = p_actor,
        reason = CASE v_status WHEN 'failed' THEN 'insufficient_funds' END
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout.payout_id;
    RETURN v_status;
END
$$;
