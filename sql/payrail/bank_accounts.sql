CREATE OR REPLACE VIEW payrail.bank_accounts AS
SELECT
    b.merchant_id,
    b.bank_account_id,
    b.holder_name,
    repeat('X', length(b.account_number) - 4) || right(b.account_number, 4) AS account_number_masked,
    b.ifsc,
    b.rail,
    b.archived_at,
    b.created_at,
    b.kind,
    repeat('X', v.hidden) || substr(b.vpa, v.hidden + 1) AS vpa_masked,
    left(b.iban, 2) || repeat('X', length(b.iban) - 6) || right(b.iban, 4) AS iban_masked
FROM merchant.bank_accounts b
CROSS JOIN LATERAL (
    -- all of a short name before the @, and of a longer one, which may be a telephone number, all but its end
    SELECT CASE WHEN position('@' IN b.vpa) > 5 THEN position('@' IN b.vpa) - 3 ELSE position('@' IN b.vpa) - 1 END AS hidden
) v;

COMMENT ON VIEW payrail.bank_accounts IS
'Bank accounts that can be paid; of account numbers and IBANs the last four characters are shown, of UPI addresses the last two before the @.';
