-- What was said to and by banks is never altered; of a case only its end, of a proposal only its
-- decision, of a file what it is and when it left, each once; an instruction that is in a file stays there.
-- Raises: PR501 (merchant.refuse_change).
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.evidence
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.evidence
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.evidence ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.evidence ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.attempts
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.attempts
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.attempts ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.attempts ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.instructions
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.instructions
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.instructions ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.instructions ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.notices
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.notices
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.notices ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.notices ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.reports
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.reports
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.reports ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.reports ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.report_lines
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.report_lines
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.report_lines ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.report_lines ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON rail.cases
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON rail.cases
FOR EACH ROW
WHEN (
    old.closed_at IS NOT NULL
    OR (
        new.case_id, new.kind, new.rail, new.rail_ref, new.merchant_id,
        new.payout_id, new.report_id, new.booking, new.amount, new.currency, new.detail, new.opened_at
    )
    IS DISTINCT FROM
    (
        old.case_id, old.kind, old.rail, old.rail_ref, old.merchant_id,
        old.payout_id, old.report_id, old.booking, old.amount, old.currency, old.detail, old.opened_at
    )
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.cases
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.cases ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.cases ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE rail.cases ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON rail.proposals
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON rail.proposals
FOR EACH ROW
WHEN (
    old.decided_at IS NOT NULL
    OR (new.proposal_id, new.case_id, new.action, new.code, new.note, new.proposed_at, new.proposed_by)
    IS DISTINCT FROM
    (old.proposal_id, old.case_id, old.action, old.code, old.note, old.proposed_at, old.proposed_by)
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.proposals
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.proposals ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.proposals ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE rail.proposals ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON rail.bank_files
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.bank_files
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.bank_files ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.bank_files ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON rail.payment_files
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON rail.payment_files
FOR EACH ROW
WHEN (
    old.sent_at IS NOT NULL
    OR (old.content IS NOT NULL AND new.content IS DISTINCT FROM old.content)
    OR (new.file_id, new.rail, new.currency, new.instructions, new.amount, new.cut_at)
    IS DISTINCT FROM
    (old.file_id, old.rail, old.currency, old.instructions, old.amount, old.cut_at)
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.payment_files
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.payment_files ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.payment_files ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE rail.payment_files ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE OR REPLACE TRIGGER refuse_change
BEFORE DELETE ON rail.filed_instructions
FOR EACH ROW EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_rewriting
BEFORE UPDATE ON rail.filed_instructions
FOR EACH ROW
WHEN (
    old.file_id IS NOT NULL
    OR old.withdrawn_at IS NOT NULL
    OR (new.rail_ref, new.rail, new.merchant_id, new.payout_id, new.queued_at)
    IS DISTINCT FROM
    (old.rail_ref, old.rail, old.merchant_id, old.payout_id, old.queued_at)
)
EXECUTE FUNCTION merchant.refuse_change();

CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON rail.filed_instructions
FOR EACH STATEMENT EXECUTE FUNCTION merchant.refuse_change();

ALTER TABLE rail.filed_instructions ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE rail.filed_instructions ENABLE ALWAYS TRIGGER refuse_rewriting;
ALTER TABLE rail.filed_instructions ENABLE ALWAYS TRIGGER refuse_truncate;
