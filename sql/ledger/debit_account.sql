-- Promises: the account that an entry of this kind takes money from; NULL for an unknown kind. external is the world
-- outside: the merchant's customers on the way in, the bank on the way out.
CREATE OR REPLACE FUNCTION ledger.debit_account(p_kind text)
RETURNS text
LANGUAGE sql
IMMUTABLE
RETURN CASE p_kind
    WHEN 'credit' THEN 'external'
    WHEN 'hold' THEN 'available'
    WHEN 'settle' THEN 'held'
    WHEN 'release' THEN 'held'
    WHEN 'return' THEN 'external'
END;
