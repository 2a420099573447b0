-- Promises: as payrail.settle_payouts for one, and an error where that one reports contradicted or refused.
-- Lock: the merchant's.
-- Raises: PR109, PR201, PR202, PR401, PR402, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.settle_payout(
    p_merchant_id uuid, p_payout_id uuid, p_utr text, p_answer jsonb DEFAULT NULL, p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.payouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM payrail.raise_effect(s.payout_id, s.effect, s.status, s.detail)
    FROM payrail.settle_payouts(
        p_merchant_id => p_merchant_id,
        p_settlements => ARRAY[ROW(p_payout_id, p_utr, p_answer)::payrail.settlement],
        p_actor => p_actor
    ) s;

    RETURN QUERY
    SELECT p.*
    FROM payrail.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
END
$$;

COMMENT ON FUNCTION payrail.settle_payout IS
'Records that the bank has paid a payout, with its reference (UTR, at most 35 characters). Repeating it changes nothing.';
