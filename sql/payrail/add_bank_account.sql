-- Promises: a bank account that the merchant can pay, known by one of: its number and IFSC, a UPI address, an IBAN. Spaces in an IBAN and
-- the case of letters in an IBAN or a UPI address mean nothing. Repeating it word for word changes nothing. Without p_rail it is paid by
-- the bank of the merchant's newest account, or by the only bank there is.
-- Lock: the merchant's.
-- Raises: PR107 a malformed field, PR204 the id is used for another account, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.add_bank_account(
    p_merchant_id uuid,
    p_bank_account_id text,
    p_holder_name text,
    p_account_number text DEFAULT NULL,
    p_ifsc text DEFAULT NULL,
    p_rail text DEFAULT NULL,
    p_vpa text DEFAULT NULL,
    p_iban text DEFAULT NULL
)
RETURNS SETOF payrail.bank_accounts
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_vpa text := lower(p_vpa);
    v_iban text := upper(replace(p_iban, ' ', ''));
    v_kind text := CASE WHEN p_vpa IS NOT NULL THEN 'vpa' WHEN p_iban IS NOT NULL THEN 'iban' ELSE 'account_number' END;
    v_rail text := p_rail;
    v_field text;
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);

    IF v_rail IS NULL THEN
        SELECT b.rail INTO v_rail
        FROM merchant.bank_accounts b
        WHERE b.merchant_id = p_merchant_id
        ORDER BY b.bank_account_id = p_bank_account_id DESC, b.created_at DESC, b.bank_account_id
        LIMIT 1;
    END IF;
    IF v_rail IS NULL THEN
        SELECT CASE count(*) WHEN 1 THEN min(r.rail) END INTO v_rail FROM rail.rails r;
    END IF;

    v_field := CASE
        WHEN p_bank_account_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' IS NOT TRUE THEN 'bank_account_id'
        WHEN length(p_holder_name) BETWEEN 1 AND 200 IS NOT TRUE OR p_holder_name ~ '[[:cntrl:]]' THEN 'holder_name'
        WHEN num_nonnulls(coalesce(p_account_number, p_ifsc), p_vpa, p_iban) <> 1 THEN 'kind'
        WHEN v_kind = 'vpa' AND NOT (length(v_vpa) <= 100 AND v_vpa ~ '^[a-z0-9._-]+@[a-z0-9.-]+$') THEN 'vpa'
        WHEN v_kind = 'iban' AND NOT merchant.is_iban(v_iban) THEN 'iban'
        WHEN v_kind = 'account_number' AND p_account_number ~ '^[A-Za-z0-9]{5,34}$' IS NOT TRUE THEN 'account_number'
        WHEN v_kind = 'account_number' AND p_ifsc ~ '^[A-Z]{4}0[A-Z0-9]{6}$' IS NOT TRUE THEN 'ifsc'
        WHEN NOT EXISTS (SELECT FROM rail.rails r WHERE r.rail = v_rail AND v_kind = ANY (r.accounts)) THEN 'rail'
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'malformed bank account'
            USING ERRCODE = 'PR107', DETAIL = json_build_object(
                'field', CASE v_field WHEN 'kind' THEN 'account_number' ELSE v_field END
            ), HINT = CASE v_field
                WHEN 'bank_account_id' THEN 'It must be 1 to 64 letters, digits, dots, dashes or underscores.'
                WHEN 'holder_name' THEN 'It must be 1 to 200 characters without control characters.'
                WHEN 'kind' THEN 'It must have one of: an account number and IFSC, a UPI address, an IBAN.'
                WHEN 'vpa' THEN 'It must be a name, an @ and a handle, such as asha@bank, of at most 100 characters.'
                WHEN 'iban' THEN 'It must be an IBAN whose check digits are right.'
                WHEN 'account_number' THEN 'It must be 5 to 34 letters or digits.'
                WHEN 'ifsc' THEN 'It must be four letters, a zero, and six letters or digits.'
                ELSE 'It must be one of payrail.rails that can pay such an account.'
            END;
    END IF;

    INSERT INTO merchant.bank_accounts AS b (merchant_id, bank_account_id, holder_name, account_number, ifsc, vpa, iban, rail)
    VALUES (p_merchant_id, p_bank_account_id, p_holder_name, p_account_number, p_ifsc, v_vpa, v_iban, v_rail)
    ON CONFLICT (merchant_id, bank_account_id) DO NOTHING;
    PERFORM
    FROM merchant.bank_accounts b
    WHERE
        b.merchant_id = p_merchant_id
        AND b.bank_account_id = p_bank_account_id
        AND (b.holder_name, b.account_number, b.ifsc, b.vpa, b.iban)
        IS NOT DISTINCT FROM (p_holder_name, p_account_number, p_ifsc, v_vpa, v_iban)
        AND b.rail = coalesce(p_rail, b.rail);
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
'Adds a bank account that a merchant can pay: account number (5 to 34 letters or digits) and IFSC, or a UPI address (p_vpa), or an IBAN.
p_rail is the bank that pays it; without it, that of the merchant''s newest account or the only one. Repeating it changes nothing.';
