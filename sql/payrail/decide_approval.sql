-- Promises: this person's decision about a payout that awaits approval is kept. Returns whether it is new: said again by the same
-- person, it changes nothing.
-- Lock: expects the merchant's.
-- Raises: PR111 no approver, or a rejection without a reason, PR201 it does not await approval, PR251 too late, PR551 the one who
-- asked for it approves it.
CREATE OR REPLACE FUNCTION payrail.decide_approval(
    p_merchant_id uuid, p_payout payout.payouts, p_approver text, p_decision text, p_reason text, p_actor text, p_now timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM payout.approvals a
        WHERE
            a.merchant_id = p_merchant_id
            AND a.payout_id = p_payout.payout_id
            AND a.decision = p_decision
            AND lower(a.approver) = lower(p_approver)
    ) THEN
        RETURN FALSE;
    END IF;
    IF length(p_approver) BETWEEN 1 AND 200 IS NOT TRUE OR p_approver ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'approver', 'minimum', 1, 'maximum', 200);
    END IF;
    IF p_reason = '' OR (p_reason IS NULL AND p_decision = 'rejected') THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'reason', 'minimum', 1, 'maximum', 500);
    END IF;
    IF p_payout.status <> 'awaiting_approval' THEN
        RAISE EXCEPTION 'the payout does not await approval'
            USING ERRCODE = 'PR201', DETAIL = json_build_object(
                'field', 'status', 'payout_id', p_payout.payout_id, 'current_status', p_payout.status
            );
    END IF;
    IF p_payout.expires_at <= p_now THEN
        RAISE EXCEPTION 'the time to approve the payout is over'
            USING ERRCODE = 'PR251', DETAIL = json_build_object(
                'field', 'status', 'payout_id', p_payout.payout_id, 'expired_at', p_payout.expires_at
            );
    END IF;
    IF p_decision = 'approved' AND lower(p_approver) = lower(p_payout.created_by) THEN
        RAISE EXCEPTION 'who asked for a payout can not approve it'
            USING ERRCODE = 'PR551', DETAIL = json_build_object('field', 'approver', 'payout_id', p_payout.payout_id);
    END IF;

    INSERT INTO payout.approvals (merchant_id, payout_id, approver, decision, reason, decided_at, actor)
    VALUES (p_merchant_id, p_payout.payout_id, p_approver, p_decision, p_reason, p_now, payrail.actor(p_actor));
    RETURN TRUE;
END
$$;

COMMENT ON FUNCTION payrail.decide_approval IS 'Keeps one person''s decision about a payout: the step that approve_payout and reject_payout share.';
