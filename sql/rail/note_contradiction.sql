-- Promises: what a bank said against the payout's status is a case: money to recover if it has paid what was given back already.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.note_contradiction(p_merchant_id uuid, p_payout payout.payouts, p_outcome text, p_code text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM rail.open_case(
        CASE WHEN p_outcome = 'paid' AND rail.is_given_back(p_payout.status) THEN 'money_to_recover' ELSE 'contradiction' END,
        b.rail,
        replace(p_payout.payout_id::text, '-', ''),
        p_merchant_id,
        p_payout.payout_id,
        p_payout.amount,
        p_payout.currency,
        CASE
            WHEN p_outcome = 'paid' AND rail.is_given_back(p_payout.status)
                THEN 'The bank has paid (' || p_code || ') what the merchant was given back when the payout ' || p_payout.status || '.'
            ELSE 'The payout is ' || p_payout.status || ', and the bank says ' || p_outcome || ' (' || p_code || ').'
        END
    )
    FROM merchant.bank_accounts b
    WHERE b.merchant_id = p_merchant_id AND b.bank_account_id = p_payout.bank_account_id;
END
$$;
