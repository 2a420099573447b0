-- Promises: when the bank that a payout was sent to is final about it: then "not found" can not turn into "paid" any more, and its money
-- may be given back. infinity: it is in a file that has not left.
CREATE OR REPLACE FUNCTION rail.final_at(p_merchant_id uuid, p_payout payout.payouts)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN rail.sent_by(p_payout) + r.finality
    FROM merchant.bank_accounts b
    INNER JOIN rail.rails r ON b.rail = r.rail
    WHERE b.merchant_id = p_merchant_id AND b.bank_account_id = p_payout.bank_account_id;
END
$$;
