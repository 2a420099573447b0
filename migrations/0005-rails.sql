-- What is known of banks and what was said to and by them: which rails there are and how they are doing, every attempt, every
-- notice, the bank's own reports, and the cases that people have to decide. The sandbox bank has moved out: it is a service
-- with books of its own.
-- depends: 0004-operators
DROP SCHEMA sandbox CASCADE;

-- rail: banks --------------------------------------------------------------------------------------------

-- What a bank can be relied on for, as its adapter declares it (pyapp/rails/rail.py), and its circuit breaker: it opens after
-- failures in a row, and from trial_at on one claim may try again.
CREATE TABLE rail.rails (
    rail text PRIMARY KEY CONSTRAINT rail_plain CHECK (rail ~ '^[a-z][a-z0-9_-]{0,31}$'),
    deduplicates_references boolean NOT NULL,
    honours_valid_until boolean NOT NULL,
    batch_size integer NOT NULL CHECK (batch_size BETWEEN 1 AND 100000),
    finality interval NOT NULL CHECK (finality BETWEEN '0' AND '90 days'),
    declared_at timestamptz NOT NULL DEFAULT now(),
    failures integer NOT NULL DEFAULT 0,
    opened_at timestamptz,
    trial_at timestamptz,
    succeeded_at timestamptz,
    failed_at timestamptz,
    error text,
    CONSTRAINT open_until_a_trial CHECK ((opened_at IS NULL) = (trial_at IS NULL))
);

INSERT INTO rail.rails (rail, deduplicates_references, honours_valid_until, batch_size, finality)
VALUES ('sandbox', TRUE, TRUE, 100, '60 seconds');

-- How the calls to each bank went, by the minute.
CREATE TABLE rail.calls (
    rail text NOT NULL REFERENCES rail.rails,
    minute timestamptz NOT NULL,
    action text NOT NULL CHECK (action IN ('submit', 'enquire')),
    calls bigint NOT NULL,
    failed bigint NOT NULL,
    instructions bigint NOT NULL,
    busy interval NOT NULL,
    PRIMARY KEY (rail, minute, action)
);

ALTER TABLE merchant.bank_accounts
DROP CONSTRAINT rail_known,
ADD CONSTRAINT rail_known FOREIGN KEY (rail) REFERENCES rail.rails;

-- rail: attempts and evidence ----------------------------------------------------------------------------

-- A lookup table, keyed by what is looked up: banks know a payout by its reference only. A row is written before the first
-- instruction leaves.
CREATE TABLE rail.instructions (
    rail_ref text PRIMARY KEY,
    merchant_id uuid NOT NULL,
    payout_id uuid NOT NULL,
    rail text NOT NULL,
    instructed_at timestamptz NOT NULL
);

-- Each claim of a payout by a worker: what it was to do at the bank, and until when it could have sent it.
CREATE TABLE rail.attempts (
    merchant_id uuid NOT NULL,
    payout_id uuid NOT NULL,
    attempt integer NOT NULL,
    claimed_at timestamptz NOT NULL,
    send_before timestamptz,
    action text NOT NULL CHECK (action IN ('submit', 'enquire')),
    rail text NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (merchant_id, payout_id, attempt),
    CONSTRAINT only_a_submission_may_send CHECK ((action = 'submit') = (send_before IS NOT NULL))
);

ALTER TABLE rail.evidence
ADD COLUMN attempt integer,
ADD COLUMN reason text,
ADD COLUMN source text CONSTRAINT source_known CHECK (source IN ('bank', 'operator')),
ADD COLUMN answer_hash bytea,
ALTER COLUMN code DROP NOT NULL,
DROP CONSTRAINT evidence_outcome_check,
DROP CONSTRAINT evidence_effect_check,
ADD CONSTRAINT outcome_known CHECK (
    outcome IN ('paid', 'refused', 'returned', 'pending', 'not_found', 'not_sent', 'unknown')
),
ADD CONSTRAINT effect_known CHECK (effect IN ('applied', 'contradicted', 'noted')),
ADD CONSTRAINT a_final_outcome_has_its_code CHECK (code IS NOT NULL OR effect = 'noted');

DROP INDEX rail.evidence_contradicted;

-- What a bank said by itself: a callback, or an entry of a file. Stored once per event of the bank; it proves nothing, but the
-- bank is asked.
CREATE TABLE rail.notices (
    rail text NOT NULL REFERENCES rail.rails,
    event_id text NOT NULL CONSTRAINT event_id_bounded CHECK (length(event_id) BETWEEN 1 AND 255),
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rail_ref text NOT NULL CONSTRAINT rail_ref_bounded CHECK (length(rail_ref) BETWEEN 1 AND 255),
    outcome text NOT NULL CONSTRAINT notice_outcome_known CHECK (outcome IN ('paid', 'refused', 'returned', 'pending', 'unknown')),
    code text,
    reason text,
    raw jsonb NOT NULL,
    PRIMARY KEY (rail, event_id)
);

CREATE INDEX notices_by_rail_ref ON rail.notices (rail, rail_ref);

-- A final payout is asked about again when the bank has more to say of it.
INSERT INTO payout.transitions (from_status, to_status, ledger_kind) VALUES ('processing', 'pending', NULL);

INSERT INTO payout.failure_codes (code, fault, retryable, next_step, description) VALUES
(
    'not_executed', 'rail', TRUE,
    'Create a new payout.',
    'The bank has confirmed that it never executed the instruction.'
);

-- rail: the bank's books ---------------------------------------------------------------------------------

-- A report that was imported: what the bank says it has booked in a period, once per content.
CREATE TABLE rail.reports (
    report_id uuid PRIMARY KEY DEFAULT uuidv7(),
    rail text NOT NULL REFERENCES rail.rails,
    source text NOT NULL CONSTRAINT source_bounded CHECK (length(source) BETWEEN 1 AND 255),
    content_hash bytea NOT NULL CONSTRAINT content_hash_is_sha256 CHECK (octet_length(content_hash) = 32),
    period_from timestamptz NOT NULL,
    period_until timestamptz NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    UNIQUE (rail, content_hash),
    CONSTRAINT period_forward CHECK (period_from < period_until)
);

CREATE TABLE rail.report_lines (
    report_id uuid NOT NULL REFERENCES rail.reports,
    line integer NOT NULL,
    entry_ref text,
    rail_ref text,
    kind text NOT NULL CONSTRAINT line_kind_known CHECK (kind IN ('payment', 'return')),
    amount ledger.amount NOT NULL,
    currency text NOT NULL,
    utr text,
    code text,
    booked_at timestamptz,
    PRIMARY KEY (report_id, line)
);

CREATE INDEX report_lines_by_rail_ref ON rail.report_lines (rail_ref);

-- What was settled in a period is found in the events of that time; rows are added in its order, so this costs next to nothing.
CREATE INDEX events_by_time ON webhook.events USING brin (created_at);

-- rail: what people decide -------------------------------------------------------------------------------

-- What no rule can decide: it stays open until two operators have resolved it, or the bank has. booking says which one of the
-- bank's it is about, if it is about one: by the bank's reference, or, where one payout has one of a kind, by its kind.
CREATE TABLE rail.cases (
    case_id uuid PRIMARY KEY DEFAULT uuidv7(),
    kind text NOT NULL CONSTRAINT case_kind_known CHECK (
        kind IN (
            'outcome_unknown', 'money_to_recover', 'contradiction',
            'missing_at_bank', 'unknown_to_us', 'booked_twice', 'different_amount', 'different_outcome'
        )
    ),
    rail text NOT NULL REFERENCES rail.rails,
    rail_ref text,
    merchant_id uuid,
    payout_id uuid,
    report_id uuid REFERENCES rail.reports,
    booking text,
    amount ledger.amount,
    currency text,
    detail text NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text,
    resolution text,
    CONSTRAINT closed_by_somebody CHECK (num_nonnulls(closed_at, closed_by, resolution) IN (0, 3))
);

CREATE UNIQUE INDEX cases_open_once ON rail.cases (merchant_id, payout_id, rail, rail_ref, kind, booking) NULLS NOT DISTINCT
WHERE closed_at IS NULL;

CREATE INDEX cases_open ON rail.cases (payout_id)
WHERE closed_at IS NULL;

-- How a case is to be resolved, in the words of one operator; it happens when another one agrees.
CREATE TABLE rail.proposals (
    proposal_id uuid PRIMARY KEY DEFAULT uuidv7(),
    case_id uuid NOT NULL REFERENCES rail.cases,
    action text NOT NULL CONSTRAINT proposal_action_known CHECK (action IN ('settle', 'fail', 'close')),
    code text CONSTRAINT proposal_code_bounded CHECK (length(code) BETWEEN 1 AND 35),
    note text NOT NULL CONSTRAINT note_bounded CHECK (length(note) BETWEEN 1 AND 1000),
    proposed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    proposed_by text NOT NULL REFERENCES merchant.operators,
    decided_at timestamptz,
    decided_by text REFERENCES merchant.operators,
    decision text CONSTRAINT decision_known CHECK (decision IN ('confirmed', 'rejected')),
    CONSTRAINT code_where_needed CHECK ((action = 'close') = (code IS NULL)),
    CONSTRAINT decided_by_somebody CHECK (num_nonnulls(decided_at, decided_by, decision) IN (0, 3)),
    CONSTRAINT confirmed_by_another CHECK (decision <> 'confirmed' OR decided_by <> proposed_by)
);

CREATE UNIQUE INDEX proposals_open_once ON rail.proposals (case_id)
WHERE decided_at IS NULL;

ALTER TABLE merchant.operator_actions
DROP CONSTRAINT action_known,
ADD CONSTRAINT action_known CHECK (
    action IN (
        'operator_added', 'operator_password_set', 'operator_disabled', 'signed_in', 'merchant_credited',
        'resolution_proposed', 'resolution_confirmed', 'resolution_rejected'
    )
);

-- Contradictions that were there before cases were.
INSERT INTO rail.cases (kind, rail, rail_ref, merchant_id, payout_id, amount, currency, detail, opened_at)
SELECT
    CASE WHEN e.outcome = 'paid' AND p.status IN ('failed', 'cancelled') THEN 'money_to_recover' ELSE 'contradiction' END,
    b.rail,
    p.rail_ref,
    p.merchant_id,
    p.payout_id,
    p.amount,
    p.currency,
    'The payout is ' || p.status || ', and the bank said: ' || e.outcome || ' ' || e.code,
    min(e.recorded_at)
FROM rail.evidence e
INNER JOIN payout.payouts p ON e.merchant_id = p.merchant_id AND e.payout_id = p.payout_id
INNER JOIN merchant.bank_accounts b ON p.merchant_id = b.merchant_id AND p.bank_account_id = b.bank_account_id
WHERE e.effect = 'contradicted'
GROUP BY b.rail, p.rail_ref, p.merchant_id, p.payout_id, e.outcome, e.code
ON CONFLICT DO NOTHING;

-- Payouts that were sent before instructions were kept.
INSERT INTO rail.instructions (rail_ref, merchant_id, payout_id, rail, instructed_at)
SELECT
    p.rail_ref,
    p.merchant_id,
    p.payout_id,
    b.rail,
    p.updated_at
FROM payout.payouts p
INNER JOIN merchant.bank_accounts b ON p.merchant_id = b.merchant_id AND p.bank_account_id = b.bank_account_id
WHERE p.status IN ('processing', 'settled', 'failed', 'returned');

DROP FUNCTION IF EXISTS payrail.claim_payouts(uuid, integer, interval, text);
DROP FUNCTION IF EXISTS payrail.due_merchants(integer);
DROP FUNCTION IF EXISTS payrail.postpone_payouts(uuid, uuid[], text);
DROP FUNCTION IF EXISTS payrail.throughput(integer);
DROP FUNCTION IF EXISTS rail.record_evidence(uuid, uuid, text, text, text, text, jsonb);
DROP VIEW IF EXISTS payrail.evidence;

-- payrail: the shapes that doors take --------------------------------------------------------------------

-- What a bank said of one payout: code is the UTR of paid, the failure code of refused, the return code of returned
CREATE TYPE payrail.bank_answer AS (
    payout_id uuid,
    outcome text,
    code text,
    utr text,
    reason text,
    answer jsonb,
    attempt integer
);

CREATE TYPE payrail.notice AS (
    event_id text,
    rail_ref text,
    outcome text,
    code text,
    reason text,
    raw jsonb
);

CREATE TYPE payrail.report_line AS (
    entry_ref text,
    rail_ref text,
    kind text,
    amount bigint,
    currency text,
    utr text,
    code text,
    booked_at timestamptz
);
