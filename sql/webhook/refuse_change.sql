-- Events and attempts are never altered; an endpoint is never deleted, stays whose it is, and is out of use once it is archived; what is
-- to be delivered stays so.
-- Raises: PR501 (merchant.refuse_change).
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON webhook.events
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON webhook.events
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE webhook.events ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE webhook.events ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON webhook.attempts
FOR EACH ROW
WHEN (old.attempted_at > clock_timestamp() - interval '30 days')
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON webhook.attempts
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON webhook.attempts
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE webhook.attempts ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE webhook.attempts ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE webhook.attempts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON webhook.endpoints
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON webhook.endpoints
FOR EACH ROW
WHEN (
    old.archived_at IS NOT NULL
    OR (new.merchant_id, new.endpoint_id, new.created_at) IS DISTINCT FROM (old.merchant_id, old.endpoint_id, old.created_at)
    OR new.cursor < old.cursor
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON webhook.endpoints
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE webhook.endpoints ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE webhook.endpoints ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE webhook.endpoints ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON webhook.deliveries
FOR EACH ROW
WHEN (old.status = 'pending' OR (old.first_attempt_at < clock_timestamp() - interval '29 days') IS NOT TRUE)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON webhook.deliveries
FOR EACH ROW
WHEN (
    (new.merchant_id, new.endpoint_id, new.seq, new.queued_at)
    IS DISTINCT FROM
    (old.merchant_id, old.endpoint_id, old.seq, old.queued_at)
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON webhook.deliveries
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE webhook.deliveries ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE webhook.deliveries ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE webhook.deliveries ENABLE ALWAYS TRIGGER refuse_truncate;
