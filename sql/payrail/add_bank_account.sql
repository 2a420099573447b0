-- Promises: a bank account that the merchant can pay. Repeating it word for word changes nothing.
-- Lock: the merchant's.
-- Raises: PR107 a malformed field, PR204 the id is used for another account, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.add_bank_account(
    p_merchant_id uuid,
    p_bank_account_id text,
    p_holder_name text,
    p_account_number text,
    p_ifsc text,
    p_rail text DEFAULT 'sandbox'
)
RETURNS SETOF payrail.bank_accounts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text;
BEGIN
    v_field := CASE
        WHEN p_bank_account_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' IS NOT TRUE THEN 'bank_account_id'
        WHEN length(p_holder_name) BETWEEN 1 AND 200 IS NOT TRUE OR p_holder_name ~ '[[:cntrl:]]' THEN 'holder_name'
        WHEN p_account_number ~ '^[A-Za-z0-9]{5,34}$' IS NOT TRUE THEN 'account_number'
        WHEN p_ifsc ~ '^[A-Z]{4}0[A-Z0-9]{6}$' IS NOT TRUE THEN 'ifsc'
        WHEN NOT EXISTS (SELECT FROM rail.rails r WHERE r.rail = p_rail) THEN 'rail'
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'malformed bank account'
            USING ERRCODE = 'PR107', DETAIL = json_build_object('field', v_field), HINT = CASE v_field
                WHEN 'bank_account_id' THEN 'It must be 1 to 64 letters, digits, dots, dashes or underscores.'
                WHEN 'holder_name' THEN 'It must be 1 to 200 characters without control characters.'
                WHEN 'account_number' THEN 'It must be 5 to 34 letters or digits.'
                WHEN 'ifsc' THEN 'It must be four letters, a zero, and six letters or digits.'
                ELSE 'It must be one of payrail.rails.'
            END;
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);

    INSERT INTO merchant.bank_accounts AS b (merchant_id, bank_account_id, holder_name, account_number, ifsc, rail)
    VALUES (p_merchant_id, p_bank_account_id, p_holder_name, p_account_number, p_ifsc, p_rail)
    ON CONFLICT (merchant_id, bank_account_id) DO NOTHING;
    PERFORM
    FROM merchant.bank_accounts b
    WHERE
        b.merchant_id = p_merchant_id
        AND b.bank_account_id = p_bank_account_id
        AND (b.holder_name, b.account_number, b.ifsc, b.rail) = (p_holder_name, p_account_number, p_ifsc, p_rail);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this id is used for another bank account'
            USING ERRCODE = 'PR204', DETAIL = json_build_object('field', 'bank_account_id');
    END IF;

    RETURN QUERY
    SELECT b.*
    FROM payrail.bank_accounts b
    WHERE b.merchant_id = p_merchant_id AND b.bank_account_id = p_bank_account_id;
END
$$;

COMMENT ON FUNCTION payrail.add_bank_account IS
'Adds a bank account that a merchant can pay: account number (5 to 34 letters or digits) and IFSC. Repeating it changes nothing.';
