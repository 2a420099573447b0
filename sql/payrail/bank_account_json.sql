-- Promises: a bank account as every client sees it, its number, UPI address or IBAN masked.
CREATE OR REPLACE FUNCTION payrail.bank_account_json(p_bank_account payrail.bank_accounts)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN row_to_json(r)
    FROM (
        SELECT
            (p_bank_account).bank_account_id AS id,
            (p_bank_account).holder_name AS holder_name,
            (p_bank_account).kind AS kind,
            (p_bank_account).account_number_masked AS account_number,
            (p_bank_account).ifsc AS ifsc,
            (p_bank_account).vpa_masked AS vpa,
            (p_bank_account).iban_masked AS iban,
            (p_bank_account).rail AS rail,
            payrail.utc((p_bank_account).archived_at) AS archived_at,
            payrail.utc((p_bank_account).created_at) AS created_at
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.bank_account_json IS 'A bank account as the API shows it, its number masked.';
