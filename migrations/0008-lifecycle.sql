-- What a payout may wait for before it is sent: an approval, its time, money. And each merchant's rules: what has to be approved,
-- and how much may be paid.
-- depends: 0007-accounts

-- merchant: rules ----------------------------------------------------------------------------------------

-- One row per merchant and currency that has any; a bound that is NULL is none. Sums are minor units.
CREATE TABLE merchant.rules (
    merchant_id uuid NOT NULL REFERENCES merchant.merchants,
    currency text NOT NULL REFERENCES ledger.currencies,
    approve_from bigint CONSTRAINT approve_from_bounded CHECK (approve_from BETWEEN 1 AND 1000000000000000),
    second_approval_from bigint CONSTRAINT second_approval_from_bounded CHECK (second_approval_from BETWEEN 1 AND 1000000000000000),
    approval_expires_after interval NOT NULL CONSTRAINT approval_expires CHECK (
        approval_expires_after BETWEEN '1 minute' AND '366 days'
    ),
    queue_expires_after interval NOT NULL CONSTRAINT queue_expires CHECK (queue_expires_after BETWEEN '1 minute' AND '366 days'),
    payout_limit bigint CONSTRAINT payout_limit_bounded CHECK (payout_limit BETWEEN 1 AND 1000000000000000),
    daily_limit bigint CONSTRAINT daily_limit_bounded CHECK (daily_limit BETWEEN 1 AND 1000000000000000000),
    account_daily_limit bigint CONSTRAINT account_daily_limit_bounded CHECK (account_daily_limit BETWEEN 1 AND 1000000000000000000),
    hourly_payouts integer CONSTRAINT hourly_payouts_positive CHECK (hourly_payouts > 0),
    over_limit text NOT NULL CONSTRAINT over_limit_known CHECK (over_limit IN ('reject', 'approve')),
    time_zone text NOT NULL,
    set_at timestamptz NOT NULL,
    set_by text NOT NULL,
    PRIMARY KEY (merchant_id, currency),
    CONSTRAINT second_above_first CHECK (second_approval_from IS NULL OR second_approval_from >= approve_from IS TRUE)
);

ALTER TABLE merchant.operator_actions
DROP CONSTRAINT action_known,
ADD CONSTRAINT action_known CHECK (
    action IN (
        'operator_added', 'operator_password_set', 'operator_disabled', 'signed_in', 'merchant_credited',
        'resolution_proposed', 'resolution_confirmed', 'resolution_rejected', 'rules_set'
    )
);

-- payout: more of the state machine ----------------------------------------------------------------------

-- Two lists: PostgreSQL hashes one of nine or more, anew for every row. One statement: a savepoint can not follow a dropped bound of a
-- domain, and yoyo sets one before each statement.
DO $$
BEGIN
    ALTER DOMAIN payout.status DROP CONSTRAINT status_known;
    ALTER DOMAIN payout.status ADD CONSTRAINT status_known CHECK (
        VALUE IN ('pending', 'processing', 'settled', 'failed', 'cancelled', 'returned')
        OR VALUE IN ('awaiting_approval', 'scheduled', 'queued', 'rejected', 'expired')
    );
END
$$;

-- What was held is released; nothing is held of what is scheduled for later, nor of what waits in the queue.
INSERT INTO payout.transitions (from_status, to_status, ledger_kind) VALUES
    ('new', 'awaiting_approval', 'hold'),
    ('new', 'scheduled', NULL),
    ('new', 'queued', NULL),
    ('awaiting_approval', 'pending', NULL),
    ('awaiting_approval', 'scheduled', NULL),
    ('awaiting_approval', 'rejected', 'release'),
    ('awaiting_approval', 'expired', 'release'),
    ('awaiting_approval', 'cancelled', 'release'),
    ('scheduled', 'pending', 'hold'),
    ('scheduled', 'awaiting_approval', 'hold'),
    ('scheduled', 'queued', NULL),
    ('scheduled', 'failed', NULL),
    ('scheduled', 'cancelled', NULL),
    ('queued', 'pending', 'hold'),
    ('queued', 'awaiting_approval', 'hold'),
    ('queued', 'failed', NULL),
    ('queued', 'expired', NULL),
    ('queued', 'cancelled', NULL);

-- Why a payout fails that no bank has seen.
ALTER TABLE payout.failure_codes ADD COLUMN by_bank boolean NOT NULL DEFAULT TRUE;

INSERT INTO payout.failure_codes (code, fault, retryable, next_step, description, by_bank) VALUES
(
    'insufficient_funds', 'merchant', TRUE,
    'Add money, then create a new payout.',
    'When its time came, the available balance was less than the amount.', FALSE
),
(
    'limit_exceeded', 'merchant', TRUE,
    'Create a new payout within the limits, or later.',
    'When it was to be held, it was over a limit of the merchant.', FALSE
);

ALTER TABLE payout.payouts
ADD COLUMN held_at timestamptz,
ADD COLUMN scheduled_at timestamptz,
ADD COLUMN expires_at timestamptz,
ADD COLUMN approvals_required smallint NOT NULL DEFAULT 0,
ADD COLUMN queue_if_low_balance boolean NOT NULL DEFAULT FALSE,
ADD COLUMN narration text,
ADD COLUMN retry_of uuid,
ADD COLUMN created_by text;

UPDATE payout.payouts SET held_at = created_at;

-- The queue, in its order: updated_at is when a payout came into it.
CREATE INDEX payouts_queued ON payout.payouts (merchant_id, currency, updated_at, payout_id)
WHERE status = 'queued';

-- What waits for something other than a bank, and when that is looked at next.
CREATE INDEX payouts_waiting ON payout.payouts (merchant_id, next_action_at)
WHERE status IN ('awaiting_approval', 'scheduled', 'queued');

-- What was paid again, at most once: the next try is of that one.
CREATE UNIQUE INDEX payouts_retried_once ON payout.payouts (merchant_id, retry_of)
WHERE retry_of IS NOT NULL;

-- Who approved or rejected a payout. Rows are only ever added.
CREATE TABLE payout.approvals (
    merchant_id uuid NOT NULL,
    payout_id uuid NOT NULL,
    approver text NOT NULL CONSTRAINT approver_bounded CHECK (length(approver) BETWEEN 1 AND 200),
    decision text NOT NULL CONSTRAINT decision_known CHECK (decision IN ('approved', 'rejected')),
    reason text CONSTRAINT reason_bounded CHECK (length(reason) BETWEEN 1 AND 500),
    decided_at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (merchant_id, payout_id, approver, decision),
    FOREIGN KEY (merchant_id, payout_id) REFERENCES payout.payouts,
    CONSTRAINT rejected_for_a_reason CHECK (decision = 'approved' OR reason IS NOT NULL)
);

-- How much of each limit is used in its newest period: by what is held or was paid out, not by what was given back. One row each;
-- bank_account_id is '' where the period is not of one account. Only of merchants that have such limits.
CREATE TABLE payout.usage (
    merchant_id uuid NOT NULL,
    currency text NOT NULL,
    period text NOT NULL CONSTRAINT period_known CHECK (period IN ('day', 'account_day', 'hour')),
    bank_account_id text NOT NULL,
    starts_at timestamptz NOT NULL,
    amount bigint NOT NULL,
    payouts bigint NOT NULL,
    PRIMARY KEY (merchant_id, currency, period, bank_account_id)
);

-- payrail: the shapes that doors take and clients see ----------------------------------------------------

DROP VIEW IF EXISTS audit.unproven_status;
DROP FUNCTION IF EXISTS payout.has_its_proof(
    text, timestamptz, timestamptz, timestamptz, text, text, timestamptz, text
);
DROP FUNCTION IF EXISTS payout.request_problem(text, bigint, text, text, jsonb);
DROP FUNCTION IF EXISTS payout.request_fingerprint(bigint, text, text, text, jsonb);
DROP FUNCTION IF EXISTS payrail.answer_request(uuid, payrail.payout_request, timestamptz, text);
DROP FUNCTION IF EXISTS payrail.create_payout(uuid, text, bigint, text, text, text, jsonb, text);
DROP FUNCTION IF EXISTS payrail.create_payouts(uuid, payrail.payout_request[], text);

ALTER TYPE payrail.payout_request ADD ATTRIBUTE scheduled_at timestamptz;
ALTER TYPE payrail.payout_request ADD ATTRIBUTE queue_if_low_balance boolean;
ALTER TYPE payrail.payout_request ADD ATTRIBUTE narration text;
ALTER TYPE payrail.payout_request ADD ATTRIBUTE retry_of uuid;

ALTER TYPE payrail.payout_document ADD ATTRIBUTE scheduled_at text;
ALTER TYPE payrail.payout_document ADD ATTRIBUTE expires_at text;
ALTER TYPE payrail.payout_document ADD ATTRIBUTE queue_if_low_balance boolean;
ALTER TYPE payrail.payout_document ADD ATTRIBUTE approvals_required smallint;
ALTER TYPE payrail.payout_document ADD ATTRIBUTE narration text;
ALTER TYPE payrail.payout_document ADD ATTRIBUTE retry_of uuid;
