-- Promises: whether payouts of this merchant wait for money of this currency.
CREATE OR REPLACE FUNCTION payout.has_queue(p_merchant_id uuid, p_currency text)
RETURNS boolean
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM payout.payouts p
        WHERE p.merchant_id = p_merchant_id AND p.currency = p_currency AND p.status = 'queued'
    );
END
$$;
