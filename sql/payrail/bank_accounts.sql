CREATE OR REPLACE VIEW payrail.bank_accounts AS
SELECT
    b.merchant_id,
    b.bank_account_id,
    b.holder_name,
    repeat('X', length(b.account_number) - 4) || right(b.account_number, 4) AS account_number_masked,
    b.ifsc,
    b.rail,
    b.archived_at,
    b.created_at
FROM merchant.bank_accounts b;

COMMENT ON VIEW payrail.bank_accounts IS 'Bank accounts that can be paid, the account number masked but for its last four characters.';
