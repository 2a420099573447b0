-- Promises: what an entry of this kind and amount changes an account by, in minor units.
CREATE OR REPLACE FUNCTION ledger.change_of(p_account text, p_kind text, p_amount bigint)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
RETURN CASE p_account
    WHEN ledger.credit_account(p_kind) THEN p_amount
    WHEN ledger.debit_account(p_kind) THEN -p_amount
    ELSE 0
END;
