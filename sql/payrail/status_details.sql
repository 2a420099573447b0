-- Promises: why a payout is where it is, when that is not plain from its status; NULL when it is.
CREATE OR REPLACE FUNCTION payrail.status_details(p_payout payrail.payouts)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    CASE p_payout.status
        WHEN 'failed' THEN
            RETURN json_build_object(
                'code', f.code,
                'fault', f.fault,
                'retryable', f.retryable,
                'next_step', f.next_step,
                'expected_by', NULL,
                'rail_code', NULL,
                'description', coalesce(p_payout.failure_reason, f.description)
            )
            FROM payrail.failure_codes f
            WHERE f.code = p_payout.failure_code;
        WHEN 'returned' THEN
            RETURN json_build_object(
                'code', 'returned_by_beneficiary_bank',
                'fault', 'beneficiary_bank',
                'retryable', FALSE,
                'next_step', 'The ' || CASE WHEN p_payout.fee > 0 THEN 'amount' ELSE 'money' END
                || ' is available again. Check the bank account with the beneficiary.',
                'expected_by', NULL,
                'rail_code', p_payout.return_code,
                'description', coalesce(p_payout.reason, 'The beneficiary''s bank sent the money back.')
            );
        WHEN 'awaiting_approval' THEN
            RETURN json_build_object(
                'code', 'awaiting_approval',
                'fault', 'merchant',
                'retryable', FALSE,
                'next_step', 'It goes on when ' || CASE p_payout.approvals_required WHEN 1 THEN 'somebody else has' ELSE 'two others have' END
                || ' approved it. It expires at ' || payrail.utc(p_payout.expires_at) || '.',
                'expected_by', NULL,
                'rail_code', NULL,
                'description', coalesce(p_payout.reason, 'The merchant''s rules ask for an approval.')
            );
        WHEN 'pending' THEN
            RETURN CASE
                WHEN p_payout.mode_opens_at = p_payout.next_action_at THEN json_build_object(
                    'code', 'mode_closed',
                    'fault', 'rail',
                    'retryable', FALSE,
                    'next_step', 'Wait: it is sent at ' || payrail.utc(p_payout.mode_opens_at) || ', when ' || p_payout.mode || ' opens.',
                    'expected_by', payrail.utc(p_payout.mode_opens_at),
                    'rail_code', NULL,
                    'description', p_payout.mode || ' is closed at this hour.'
                )
            END;
        WHEN 'queued' THEN
            RETURN json_build_object(
                'code', 'queued_for_money',
                'fault', 'merchant',
                'retryable', FALSE,
                'next_step', 'Add money: it goes on by itself, in its turn. It expires at ' || payrail.utc(p_payout.expires_at) || '.',
                'expected_by', NULL,
                'rail_code', NULL,
                'description', 'The available balance is less than the amount' || CASE WHEN p_payout.fee > 0 THEN ' and its fee' ELSE '' END
                || ', or than that of one before it in the queue.'
            );
        WHEN 'expired' THEN
            RETURN json_build_object(
                'code', 'expired',
                'fault', 'merchant',
                'retryable', TRUE,
                'next_step', 'Create a new payout.',
                'expected_by', NULL,
                'rail_code', NULL,
                'description', p_payout.reason
            );
        WHEN 'rejected' THEN
            RETURN json_build_object(
                'code', 'rejected',
                'fault', 'merchant',
                'retryable', FALSE,
                'next_step', 'Ask who rejected it.',
                'expected_by', NULL,
                'rail_code', NULL,
                'description', p_payout.reason
            );
        ELSE
            RETURN CASE
                WHEN p_payout.unknown_reason IS NOT NULL THEN json_build_object(
                    'code', 'outcome_unknown',
                    'fault', 'rail',
                    'retryable', FALSE,
                    'next_step', 'Wait: the bank is asked again at ' || payrail.utc(p_payout.next_action_at)
                    || ', and on until it gives a final answer. Do not pay again.',
                    'expected_by', NULL,
                    'rail_code', NULL,
                    'description', p_payout.unknown_reason
                )
            END;
    END CASE;
END
$$;

COMMENT ON FUNCTION payrail.status_details IS
'Why a payout failed, was returned or stays processing: code, fault, retryable, next_step, expected_by, rail_code, description.';
