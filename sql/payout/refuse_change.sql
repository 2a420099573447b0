-- Payouts are never deleted, and the stored answers never altered.
-- Raises: PR501 (merchant.refuse_change).
CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON payout.payouts
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON payout.payouts
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE payout.payouts ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE payout.payouts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON payout.idempotency_keys
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON payout.idempotency_keys
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE payout.idempotency_keys ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE payout.idempotency_keys ENABLE ALWAYS TRIGGER refuse_truncate;
