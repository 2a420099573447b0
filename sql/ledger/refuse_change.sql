-- Promises: what has been recorded is never altered. ENABLE ALWAYS: session_replication_role does not skip it.
-- Raises: PR501, always.
CREATE OR REPLACE FUNCTION ledger.refuse_change()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'this record is append-only'
        USING ERRCODE = 'PR501', HINT = 'Correct money with a new entry, through a door of schema payrail.';
END
$$;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON ledger.entries
FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON ledger.entries
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

ALTER TABLE ledger.entries ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE ledger.entries ENABLE ALWAYS TRIGGER refuse_truncate;
