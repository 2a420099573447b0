-- Promises: how many of the merchant's payouts await approval, counted up to a hundred.
CREATE OR REPLACE FUNCTION payrail.awaiting_approval(p_merchant_id uuid)
RETURNS integer
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN count(*)
    FROM (
        SELECT
        FROM payout.payouts p
        WHERE p.merchant_id = p_merchant_id AND p.status = 'awaiting_approval'
        LIMIT 100
    ) a;
END
$$;

COMMENT ON FUNCTION payrail.awaiting_approval IS 'How many payouts of a merchant await approval: up to 100, which is that many or more.';
