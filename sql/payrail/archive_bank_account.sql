-- Promises: no new payout goes to this bank account; those under way still end. Repeating it changes nothing.
-- Lock: the merchant's.
-- Raises: PR401, PR403, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.archive_bank_account(p_merchant_id uuid, p_bank_account_id text)
RETURNS SETOF payrail.bank_accounts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);

    UPDATE merchant.bank_accounts b
    SET archived_at = now()
    WHERE b.merchant_id = p_merchant_id AND b.bank_account_id = p_bank_account_id AND b.archived_at IS NULL;

    RETURN QUERY
    SELECT b.*
    FROM payrail.bank_accounts b
    WHERE b.merchant_id = p_merchant_id AND b.bank_account_id = p_bank_account_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such bank account of this merchant'
            USING ERRCODE = 'PR403', DETAIL = json_build_object('field', 'bank_account_id');
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.archive_bank_account IS 'Stops new payouts to a bank account. Repeating it changes nothing.';
