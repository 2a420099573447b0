-- Promises: the merchant is locked and this is one of its payouts, returned as it is now.
-- Lock: the merchant's.
-- Raises: PR402 no such payout of this merchant, and merchant.lock_merchant's.
CREATE OR REPLACE FUNCTION payout.lock_payout(p_merchant_id uuid, p_payout_id uuid)
RETURNS payout.payouts
LANGUAGE plpgsql
AS $$
DECLARE
    v_payout payout.payouts;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);

    SELECT p.* INTO v_payout
    FROM payout.payouts p
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such payout of this merchant'
            USING ERRCODE = 'PR402', DETAIL = json_build_object('field', 'payout_id', 'payout_id', p_payout_id);
    END IF;
    RETURN v_payout;
END
$$;
