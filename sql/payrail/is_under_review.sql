-- Promises: whether people are finding out from the bank what became of a payout: a case of it is open. Which one, and what it says, is not
-- for the merchant.
CREATE OR REPLACE FUNCTION payrail.is_under_review(p_merchant_id uuid, p_payout_id uuid)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM rail.cases c
        WHERE c.merchant_id = p_merchant_id AND c.payout_id = p_payout_id AND c.closed_at IS NULL
    );
END
$$;

COMMENT ON FUNCTION payrail.is_under_review IS 'Whether people are finding out from the bank what became of a payout.';
