-- Promises: what a merchant may spend now.
-- Lock: expects the merchant's, taken in an earlier statement.
CREATE OR REPLACE FUNCTION payout.available_balance(p_merchant_id uuid, p_currency text)
RETURNS bigint
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN coalesce((
        SELECT e.available
        FROM ledger.entries e
        WHERE e.merchant_id = p_merchant_id AND e.currency = p_currency
        ORDER BY e.seq DESC
        LIMIT 1
    ), 0);
END
$$;
