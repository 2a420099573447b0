-- What has been recorded is never altered.
-- Raises: PR501 (merchant.refuse_change).
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON ledger.entries
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON ledger.entries
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE ledger.entries ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE ledger.entries ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON ledger.books
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON ledger.books
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER refuse_truncate;
