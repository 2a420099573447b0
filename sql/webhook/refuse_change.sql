-- Events are never altered.
-- Raises: PR501 (merchant.refuse_change).
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON webhook.events
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON webhook.events
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE webhook.events ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE webhook.events ENABLE ALWAYS TRIGGER refuse_truncate;
