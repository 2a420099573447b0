-- Promises: the account that an entry of this kind brings money to; NULL for an unknown kind.
CREATE OR REPLACE FUNCTION ledger.credit_account(p_kind text)
RETURNS text
LANGUAGE sql
IMMUTABLE
RETURN CASE p_kind
    WHEN 'credit' THEN 'available'
    WHEN 'hold' THEN 'held'
    WHEN 'settle' THEN 'external'
    WHEN 'release' THEN 'available'
    WHEN 'return' THEN 'available'
END;
