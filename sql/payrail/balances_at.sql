-- Promises: a merchant's balances as they were at an instant, that instant included, in INR and in every other currency that the
-- merchant has had by now; without one, as they are.
CREATE OR REPLACE FUNCTION payrail.balances_at(p_merchant_id uuid, p_at timestamptz DEFAULT NULL)
RETURNS TABLE (currency text, available bigint, held bigint)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        b.currency,
        coalesce(e.available, 0)::bigint,
        coalesce(e.held, 0)::bigint
    FROM payrail.balances b
    LEFT JOIN LATERAL ledger.position_at(
        p_merchant_id => p_merchant_id, p_currency => b.currency, p_at => coalesce(p_at, 'infinity')
    ) e ON TRUE
    WHERE b.merchant_id = p_merchant_id
    ORDER BY b.currency <> 'INR', b.currency;
END
$$;

COMMENT ON FUNCTION payrail.balances_at IS
'A merchant''s balances in minor units as they were at p_at, or as they are; found in some twenty index look-ups each.';
