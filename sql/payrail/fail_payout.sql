-- Promises: as payrail.fail_payouts for one, and an error where that one reports contradicted or refused.
-- Lock: the merchant's.
-- Raises: PR110, PR201, PR202, PR211, PR401, PR402, PR504, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.fail_payout(
    p_merchant_id uuid,
    p_payout_id uuid,
    p_failure_code text,
    p_reason text DEFAULT NULL,
    p_answer jsonb DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.payouts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM payrail.raise_effect(f.payout_id, f.effect, f.status, f.detail)
    FROM payrail.fail_payouts(
        p_merchant_id => p_merchant_id,
        p_refusals => ARRAY[ROW(p_payout_id, p_failure_code, p_reason, p_answer)::payrail.refusal],
        p_actor => p_actor
    ) f;

    RETURN QUERY
    SELECT p.*
    FROM payrail.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
END
$$;

COMMENT ON FUNCTION payrail.fail_payout IS
'Records the bank''s final refusal of a payout and releases its money. p_failure_code is one of payrail.failure_codes.
Repeating it changes nothing.';
