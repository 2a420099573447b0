-- Promises: whether, at p_now, the bank that a payout was sent to is final about it: "not found" can not turn into "paid" any more.
CREATE OR REPLACE FUNCTION rail.is_final(p_merchant_id uuid, p_bank_account_id text, p_send_before timestamptz, p_now timestamptz)
RETURNS boolean
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN p_now > p_send_before + r.finality
    FROM merchant.bank_accounts b
    INNER JOIN rail.rails r ON b.rail = r.rail
    WHERE b.merchant_id = p_merchant_id AND b.bank_account_id = p_bank_account_id;
END
$$;
