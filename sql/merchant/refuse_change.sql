-- Promises: what has been recorded is never altered. ENABLE ALWAYS: session_replication_role does not skip it.
-- Raises: PR501, always.
CREATE OR REPLACE FUNCTION merchant.refuse_change()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'this record is append-only'
        USING ERRCODE = 'PR501', HINT = 'Correct money with a new entry, through a door of schema payrail.';
END
$$;

-- Merchants are never deleted, nor do they get another id; of a bank account only archived_at changes; of an API key only
-- whether it is valid still, how often it may be used, and when it was.
CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON merchant.merchants
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON merchant.merchants
FOR EACH ROW
WHEN (new.merchant_id IS DISTINCT FROM old.merchant_id)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON merchant.merchants
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE merchant.merchants ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE merchant.merchants ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE merchant.merchants ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON merchant.bank_accounts
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON merchant.bank_accounts
FOR EACH ROW
WHEN (
    (new.merchant_id, new.bank_account_id, new.holder_name, new.account_number, new.ifsc, new.vpa, new.iban, new.rail, new.created_at)
    IS DISTINCT FROM
    (old.merchant_id, old.bank_account_id, old.holder_name, old.account_number, old.ifsc, old.vpa, old.iban, old.rail, old.created_at)
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON merchant.bank_accounts
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE merchant.bank_accounts ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE merchant.bank_accounts ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE merchant.bank_accounts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON merchant.api_keys
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON merchant.api_keys
FOR EACH ROW
WHEN (
    (new.key_hash, new.merchant_id, new.api_key_id, new.prefix, new.owner, new.scopes, new.created_at)
    IS DISTINCT FROM
    (old.key_hash, old.merchant_id, old.api_key_id, old.prefix, old.owner, old.scopes, old.created_at)
    OR (old.replaced_by IS NOT NULL AND new.replaced_by IS DISTINCT FROM old.replaced_by)
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON merchant.api_keys
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE merchant.api_keys ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE merchant.api_keys ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE merchant.api_keys ENABLE ALWAYS TRIGGER refuse_truncate;

-- Operators are never deleted, so that a name in the log stays one person's; what they did, and what the audit
-- has found, is never altered.
CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON merchant.operators
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON merchant.operators
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE merchant.operators ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE merchant.operators ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON merchant.operator_actions
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON merchant.operator_actions
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE merchant.operator_actions ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE merchant.operator_actions ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON merchant.audit_runs
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON merchant.audit_runs
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE merchant.audit_runs ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE merchant.audit_runs ENABLE ALWAYS TRIGGER refuse_truncate;
