-- Payouts are never deleted, and the stored answers and the approvals never altered. What an accepted request was answered stays for
-- ever, what a rejected one was for a day: then it may go (payrail.prune).
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
BEFORE DELETE ON payout.idempotency_keys
FOR EACH ROW
WHEN (old.payout_id IS NOT NULL OR old.status = 201 OR old.created_at > clock_timestamp() - interval '24 hours')
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON payout.idempotency_keys
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON payout.idempotency_keys
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE payout.idempotency_keys ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE payout.idempotency_keys ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE payout.idempotency_keys ENABLE ALWAYS TRIGGER refuse_truncate;

-- A batch only advances until it is over; its lines and their answers are never altered.
CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON payout.batches
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON payout.batches
FOR EACH ROW
WHEN (
    old.completed_at IS NOT NULL OR new.accepted < old.accepted OR new.rejected < old.rejected
    OR (
        new.merchant_id, new.batch_id, new.idempotency_key, new.fingerprint, new.mode, new.name, new.lines, new.totals, new.owner,
        new.actor, new.created_at, new.answer::text
    ) IS DISTINCT FROM (
        old.merchant_id, old.batch_id, old.idempotency_key, old.fingerprint, old.mode, old.name, old.lines, old.totals, old.owner,
        old.actor, old.created_at, old.answer::text
    )
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON payout.batches
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE payout.batches ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE payout.batches ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE payout.batches ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON payout.batch_lines
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON payout.batch_lines
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE payout.batch_lines ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE payout.batch_lines ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON payout.batch_answers
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON payout.batch_answers
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE payout.batch_answers ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE payout.batch_answers ENABLE ALWAYS TRIGGER refuse_truncate;
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON payout.approvals
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON payout.approvals
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE payout.approvals ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE payout.approvals ENABLE ALWAYS TRIGGER refuse_truncate;
