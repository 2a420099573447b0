-- A bank account is known by its number and IFSC, by a UPI address (VPA), or by an IBAN; and each bank says which of them it can pay.
-- depends: 0006-files
ALTER TABLE merchant.bank_accounts
ALTER COLUMN account_number DROP NOT NULL,
ALTER COLUMN ifsc DROP NOT NULL,
ADD COLUMN vpa text CONSTRAINT vpa_well_formed CHECK (length(vpa) <= 100 AND vpa ~ '^[a-z0-9._-]+@[a-z0-9.-]+$'),
ADD COLUMN iban text CONSTRAINT iban_well_formed CHECK (iban ~ '^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$'),
ADD COLUMN kind text NOT NULL GENERATED ALWAYS AS (
    CASE WHEN vpa IS NOT NULL THEN 'vpa' WHEN iban IS NOT NULL THEN 'iban' ELSE 'account_number' END
) STORED,
ADD CONSTRAINT of_one_kind CHECK (num_nonnulls(account_number, vpa, iban) = 1 AND (account_number IS NULL) = (ifsc IS NULL));

ALTER TABLE rail.rails
ADD COLUMN accounts text[] NOT NULL DEFAULT '{account_number}' CONSTRAINT accounts_known CHECK (
    accounts <@ ARRAY['account_number', 'vpa', 'iban'] AND cardinality(accounts) > 0
);

UPDATE rail.rails SET accounts = '{account_number,iban}';
UPDATE rail.rails SET accounts = '{account_number,vpa,iban}'
WHERE rail = 'sandbox';

DROP FUNCTION IF EXISTS payrail.add_bank_account(uuid, text, text, text, text, text);
DROP FUNCTION IF EXISTS payrail.claim_payouts(uuid, integer, interval, text, text[]);
DROP FUNCTION IF EXISTS payrail.cut_file(text, integer, interval);
DROP FUNCTION IF EXISTS payrail.declare_rail(text, boolean, boolean, integer, interval);
