-- Evidence is never altered.
-- Raises: PR501 (merchant.refuse_change).
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.evidence
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.evidence
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.evidence ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.evidence ENABLE ALWAYS TRIGGER refuse_truncate;
