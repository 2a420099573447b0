-- Promises: a payout that was scheduled or queued, and for which there is money, is held and pending; or awaits the approvals that it
-- has not got; or has failed, over a limit that is not to be passed. Returns its new status.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.hold_payout(p_merchant_id uuid, p_payout payout.payouts, p_actor text, p_now timestamptz)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_rules merchant.rules;
    v_over text;
    v_required smallint := p_payout.approvals_required;
    v_status text;
BEGIN
    SELECT r.* INTO v_rules
    FROM merchant.rules r
    WHERE r.merchant_id = p_merchant_id AND r.currency = p_payout.currency;
    IF FOUND THEN
        v_over := payout.limit_problem(p_merchant_id, v_rules, p_payout.bank_account_id, p_payout.amount, p_now);
        IF v_over IS NOT NULL AND v_rules.over_limit = 'approve' THEN
            v_required := greatest(v_required, 1);
        END IF;
    END IF;

    v_status := CASE
        WHEN v_over IS NOT NULL AND v_rules.over_limit = 'reject' THEN 'failed'
        WHEN v_required > (
            SELECT count(*)
            FROM payout.approvals a
            WHERE a.merchant_id = p_merchant_id AND a.payout_id = p_payout.payout_id AND a.decision = 'approved'
        ) THEN 'awaiting_approval'
        ELSE 'pending'
    END;
    UPDATE payout.payouts p
    SET
        status = v_status,
        approvals_required = v_required,
        failure_code = CASE v_status WHEN 'failed' THEN 'limit_exceeded' END,
        failure_reason = CASE v_status WHEN 'failed' THEN v_over END,
        expires_at = CASE v_status WHEN 'awaiting_approval' THEN p_now + coalesce(v_rules.approval_expires_after, INTERVAL '7 days') END,
        next_action_at = CASE v_status
            WHEN 'pending' THEN p_now
            WHEN 'awaiting_approval' THEN p_now + coalesce(v_rules.approval_expires_after, INTERVAL '7 days')
        END,
        actor = p_actor,
        reason = CASE v_status WHEN 'failed' THEN 'limit_exceeded' WHEN 'awaiting_approval' THEN v_over END
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout.payout_id
    RETURNING p.* INTO p_payout;

    PERFORM payout.count_usage(p_merchant_id, v_rules, p_payout.bank_account_id, p_payout.amount, p_payout.held_at);
    RETURN v_status;
END
$$;
