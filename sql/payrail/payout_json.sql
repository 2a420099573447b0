-- Promises: a payout as every client sees it, in the stored answers, in lists and alone. Amounts in minor units.
CREATE OR REPLACE FUNCTION payrail.payout_json(p_payout payrail.payouts)
RETURNS json
LANGUAGE sql
STABLE
RETURN row_to_json(
    ROW(
        (p_payout).payout_id,
        (p_payout).status,
        (p_payout).amount,
        (p_payout).currency,
        CASE (p_payout).currency WHEN 'INR' THEN (p_payout).amount END,
        (p_payout).bank_account_id,
        (p_payout).reference,
        coalesce((p_payout).metadata, '{}'),
        (p_payout).utr,
        CASE
            WHEN
                NOT ((p_payout).failure_code, (p_payout).return_code, (p_payout).unknown_reason, (p_payout).expires_at) IS NULL
                OR (p_payout).status = 'rejected'
                OR (p_payout).status = 'pending' AND (p_payout).mode_opens_at = (p_payout).next_action_at
                THEN payrail.status_details(p_payout)
        END,
        payrail.utc((p_payout).created_at),
        payrail.utc((p_payout).updated_at),
        payrail.utc((p_payout).settled_at),
        payrail.utc((p_payout).returned_at),
        payrail.utc((p_payout).scheduled_at),
        payrail.utc((p_payout).expires_at),
        (p_payout).queue_if_low_balance,
        (p_payout).approvals_required,
        (p_payout).narration,
        (p_payout).retry_of,
        (p_payout).mode,
        (p_payout).mode_reason,
        (p_payout).fee
    )::payrail.payout_document
);

COMMENT ON FUNCTION payrail.payout_json IS 'A payout as the API shows it. Amounts in minor units, times in UTC.';
