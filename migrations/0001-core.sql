-- The tables of PayRail. Code (functions, triggers, views, grants) lives in sql/ and is replaced on every
-- migrate; nothing here calls it. Every key of merchant data starts with merchant_id, so that a merchant
-- can become a shard without changing a line. Sums are bigint minor units (paise for INR).
CREATE SCHEMA merchant;
CREATE SCHEMA ledger;
CREATE SCHEMA webhook;
CREATE SCHEMA payout;
CREATE SCHEMA rail;
CREATE SCHEMA audit;
CREATE SCHEMA payrail;

-- merchant ---------------------------------------------------------------------------------------------

-- What this installation was created as. A row is written once, by the first migrate, and decides whether
-- demo data may ever be reset.
CREATE TABLE merchant.instance (
    singleton boolean PRIMARY KEY DEFAULT TRUE CHECK (singleton),
    environment text NOT NULL CHECK (environment IN ('demo', 'live')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The row that serialises a merchant's money: every money function locks it first.
CREATE TABLE merchant.merchants (
    merchant_id uuid PRIMARY KEY DEFAULT uuidv7(),
    name text NOT NULL CONSTRAINT name_bounded CHECK (length(name) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A lookup table, keyed by what is looked up: the merchant is not known before the key is.
CREATE TABLE merchant.api_keys (
    key_hash bytea PRIMARY KEY CONSTRAINT key_hash_is_sha256 CHECK (octet_length(key_hash) = 32),
    merchant_id uuid NOT NULL REFERENCES merchant.merchants,
    api_key_id uuid NOT NULL DEFAULT uuidv7(),
    prefix text NOT NULL CONSTRAINT prefix_is_no_secret CHECK (length(prefix) BETWEEN 1 AND 12),
    name text CONSTRAINT key_name_bounded CHECK (length(name) BETWEEN 1 AND 200),
    scopes text[] NOT NULL CONSTRAINT scopes_known CHECK (
        scopes <@ ARRAY['read', 'payouts:create'] AND cardinality(scopes) > 0
    ),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    UNIQUE (merchant_id, api_key_id)
);

CREATE TABLE merchant.bank_accounts (
    merchant_id uuid NOT NULL REFERENCES merchant.merchants,
    bank_account_id text NOT NULL CONSTRAINT bank_account_id_plain CHECK (
        bank_account_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'
    ),
    holder_name text NOT NULL CONSTRAINT holder_name_bounded CHECK (length(holder_name) BETWEEN 1 AND 200),
    account_number text NOT NULL CONSTRAINT account_number_plain CHECK (account_number ~ '^[A-Za-z0-9]{5,35}$'),
    ifsc text NOT NULL CONSTRAINT ifsc_well_formed CHECK (ifsc ~ '^[A-Z]{4}0[A-Z0-9]{6}$'),
    rail text NOT NULL CONSTRAINT rail_known CHECK (rail IN ('sandbox')),
    archived_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, bank_account_id)
);

-- ledger -----------------------------------------------------------------------------------------------

-- ISO 4217: code and exponent (digits of the minor unit).
CREATE TABLE ledger.currencies (
    currency text PRIMARY KEY CHECK (currency ~ '^[A-Z]{3}$'),
    exponent smallint NOT NULL CHECK (exponent BETWEEN 0 AND 4)
);

INSERT INTO ledger.currencies (currency, exponent) VALUES ('INR', 2);

-- What each kind of movement does: it takes its amount from one account and brings it to another. available and held are
-- the merchant's; external is the world outside: customers on the way in, the bank on the way out. A payout's movement
-- names the payout, every other one the reference of the money that came in.
CREATE TABLE ledger.kinds (
    kind text PRIMARY KEY,
    debit_account text NOT NULL,
    credit_account text NOT NULL,
    of_payout boolean NOT NULL,
    available_sign integer NOT NULL GENERATED ALWAYS AS (
        CASE 'available' WHEN credit_account THEN 1 WHEN debit_account THEN -1 ELSE 0 END
    ) STORED,
    held_sign integer NOT NULL GENERATED ALWAYS AS (
        CASE 'held' WHEN credit_account THEN 1 WHEN debit_account THEN -1 ELSE 0 END
    ) STORED,
    CONSTRAINT accounts_known CHECK (
        debit_account IN ('available', 'held', 'external') AND credit_account IN ('available', 'held', 'external')
        AND debit_account <> credit_account
    )
);

INSERT INTO ledger.kinds (kind, debit_account, credit_account, of_payout) VALUES
    ('credit', 'external', 'available', FALSE),
    ('hold', 'available', 'held', TRUE),
    ('settle', 'held', 'external', TRUE),
    ('release', 'held', 'available', TRUE),
    ('return', 'external', 'available', TRUE);

-- On the hot path bounds are domains, and rules over several columns are in triggers, not CHECKs of the tables:
-- PostgreSQL parses a table's CHECKs anew for every INSERT, which was a fifth of the cost of creating a payout.
CREATE DOMAIN ledger.amount AS bigint CONSTRAINT amount_bounded CHECK (VALUE BETWEEN 1 AND 1000000000000000);
CREATE DOMAIN ledger.balance AS bigint CONSTRAINT balance_never_negative CHECK (VALUE BETWEEN 0 AND 1000000000000000000);
CREATE DOMAIN ledger.reference AS text CONSTRAINT reference_bounded CHECK (length(VALUE) BETWEEN 1 AND 255);

-- One row is one movement of money and the merchant's position after it. seq, available, held, created_at
-- and hash are computed by the trigger ledger.continue_chain, whatever a writer says; it also looks that the merchant is
-- there, which a foreign key would do again for every entry.
CREATE TABLE ledger.entries (
    merchant_id uuid NOT NULL,
    payout_id uuid,
    seq bigint NOT NULL,
    amount ledger.amount NOT NULL,
    available ledger.balance NOT NULL,
    held ledger.balance NOT NULL,
    created_at timestamptz NOT NULL,
    currency text NOT NULL,
    kind text NOT NULL,
    reference ledger.reference,
    hash bytea NOT NULL,
    PRIMARY KEY (merchant_id, currency, seq)
);

-- A payout is held at most once, and what was held is settled or released exactly once, and returned at most
-- once: a settlement and a release share one place in this index.
CREATE UNIQUE INDEX entries_once_per_payout ON ledger.entries (
    merchant_id, payout_id, (CASE kind WHEN 'release' THEN 'settle' ELSE kind END)
)
WHERE payout_id IS NOT NULL;

-- A credit's reference is used once.
CREATE UNIQUE INDEX entries_credit_once ON ledger.entries (merchant_id, reference)
WHERE reference IS NOT NULL;

-- webhook ----------------------------------------------------------------------------------------------

-- What happened: one row per transition of a payout, numbered per merchant in commit order without gaps (the merchant is
-- locked), which is also an event's name. The rows of one payout are its history (the view payout.history).
CREATE TABLE webhook.events (
    merchant_id uuid NOT NULL,
    seq bigint NOT NULL,
    payout_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    payout_version integer NOT NULL,
    from_status text,
    to_status text NOT NULL,
    actor text NOT NULL,
    reason text,
    PRIMARY KEY (merchant_id, seq),
    UNIQUE (merchant_id, payout_id, payout_version)
);

-- payout -----------------------------------------------------------------------------------------------

-- The allowed edges of the state machine, and the ledger entry each one writes. Every other change of state
-- is refused by the trigger payout.apply_transition.
CREATE TABLE payout.transitions (
    from_status text NOT NULL,
    to_status text NOT NULL,
    ledger_kind text,
    PRIMARY KEY (from_status, to_status)
);

INSERT INTO payout.transitions (from_status, to_status, ledger_kind) VALUES
    ('new', 'pending', 'hold'),
    ('pending', 'processing', NULL),
    ('pending', 'cancelled', 'release'),
    ('processing', 'settled', 'settle'),
    ('processing', 'failed', 'release'),
    ('settled', 'returned', 'return');

CREATE DOMAIN payout.status AS text CONSTRAINT status_known CHECK (
    VALUE IN ('pending', 'processing', 'settled', 'failed', 'cancelled', 'returned')
);
CREATE DOMAIN payout.bank_code AS text CONSTRAINT bank_code_bounded CHECK (length(VALUE) BETWEEN 1 AND 35);

-- The only codes that may fail a payout: a rail's final no. Anything else a bank says is "unknown".
CREATE TABLE payout.failure_codes (
    code text PRIMARY KEY,
    fault text NOT NULL CHECK (fault IN ('merchant', 'beneficiary', 'beneficiary_bank', 'rail', 'operator')),
    retryable boolean NOT NULL,
    next_step text NOT NULL,
    description text NOT NULL
);

INSERT INTO payout.failure_codes (code, fault, retryable, next_step, description) VALUES
(
    'account_closed', 'beneficiary', FALSE,
    'Ask the beneficiary for another bank account.',
    'The bank account is closed.'
),
(
    'account_invalid', 'beneficiary', FALSE,
    'Check the account number and IFSC with the beneficiary.',
    'No such bank account.'
),
(
    'account_frozen', 'beneficiary', FALSE,
    'Ask the beneficiary for another bank account.',
    'The bank account is frozen or blocked.'
),
(
    'account_dormant', 'beneficiary', FALSE,
    'Ask the beneficiary to reactivate the account.',
    'The bank account is dormant.'
),
(
    'account_type_not_allowed', 'beneficiary', FALSE,
    'Ask the beneficiary for another bank account.',
    'This type of account can not receive such a payment.'
),
(
    'account_holder_deceased', 'beneficiary', FALSE,
    'Contact the beneficiary''s representatives.',
    'The account holder has died.'
),
(
    'ifsc_invalid', 'beneficiary', FALSE,
    'Correct the IFSC of the bank account.',
    'No such bank branch.'
),
(
    'vpa_invalid', 'beneficiary', FALSE,
    'Correct the UPI address.',
    'No such UPI address.'
),
(
    'name_mismatch', 'beneficiary', FALSE,
    'Correct the holder name of the bank account.',
    'The name differs from the bank''s record.'
),
(
    'mode_not_supported', 'beneficiary', FALSE,
    'Pay by another mode.',
    'The bank account can not be paid by this mode.'
),
(
    'beneficiary_limit_exceeded', 'beneficiary', FALSE,
    'Pay less, or on another day.',
    'The beneficiary''s limit is reached.'
),
(
    'beneficiary_bank_offline', 'beneficiary_bank', TRUE,
    'Create a new payout later.',
    'The beneficiary''s bank is not reachable.'
),
(
    'beneficiary_bank_rejected', 'beneficiary_bank', FALSE,
    'Ask the beneficiary to contact the bank.',
    'The beneficiary''s bank refused the payment.'
),
(
    'amount_invalid_for_mode', 'merchant', FALSE,
    'Choose an amount within the mode''s bounds.',
    'The amount is outside the mode''s bounds.'
),
(
    'compliance_blocked', 'operator', FALSE,
    'Contact support.',
    'The payment was stopped by a compliance rule.'
),
(
    'rail_window_closed', 'rail', TRUE,
    'Create a new payout within the rail''s hours.',
    'The rail is closed at this hour.'
),
(
    'rail_limit_exhausted', 'rail', TRUE,
    'Create a new payout later.',
    'The rail''s limit is reached.'
),
(
    'rail_unavailable', 'rail', TRUE,
    'Create a new payout later.',
    'The rail refused the instruction because it is down.'
);

-- What each state must carry is checked by payout.has_its_proof, in the trigger that applies a transition.
CREATE TABLE payout.payouts (
    merchant_id uuid NOT NULL,
    payout_id uuid NOT NULL,
    amount ledger.amount NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    settled_at timestamptz,
    returned_at timestamptz,
    send_before timestamptz,
    next_action_at timestamptz,
    version integer NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    status payout.status NOT NULL,
    currency text NOT NULL,
    bank_account_id text NOT NULL,
    reference ledger.reference,
    utr payout.bank_code,
    failure_code text,
    failure_reason text,
    return_code payout.bank_code,
    unknown_reason text,
    actor text NOT NULL,
    reason text,
    metadata jsonb,
    -- What the bank knows the instruction by. It derives from the payout and so can never change.
    rail_ref text GENERATED ALWAYS AS (replace(payout_id::text, '-', '')) VIRTUAL,
    PRIMARY KEY (merchant_id, payout_id),
    FOREIGN KEY (merchant_id, bank_account_id) REFERENCES merchant.bank_accounts
);

-- The due work: only open payouts are in it.
CREATE INDEX payouts_due ON payout.payouts (merchant_id, next_action_at)
WHERE next_action_at IS NOT NULL;

CREATE INDEX payouts_by_reference ON payout.payouts (merchant_id, reference)
WHERE reference IS NOT NULL;

CREATE INDEX payouts_by_utr ON payout.payouts (merchant_id, utr)
WHERE utr IS NOT NULL;

-- The first answer to each key, to be given again word for word (json, not jsonb: it keeps the text).
CREATE TABLE payout.idempotency_keys (
    merchant_id uuid NOT NULL,
    idempotency_key ledger.reference NOT NULL,
    fingerprint bytea NOT NULL,
    payout_id uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status smallint NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (merchant_id, idempotency_key)
);

-- rail -------------------------------------------------------------------------------------------------

-- What was said about a payout's outcome, by whom, and what it changed.
CREATE TABLE rail.evidence (
    merchant_id uuid NOT NULL,
    evidence_id uuid NOT NULL DEFAULT uuidv7(),
    payout_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL CHECK (outcome IN ('paid', 'refused', 'returned')),
    effect text NOT NULL CHECK (effect IN ('applied', 'contradicted')),
    code text NOT NULL,
    actor text NOT NULL,
    answer jsonb,
    PRIMARY KEY (merchant_id, payout_id, evidence_id)
);

-- audit ------------------------------------------------------------------------------------------------

-- Hashes of every definition as the last migrate loaded it; audit.changed_definitions compares.
CREATE TABLE audit.loaded_definitions (
    object text PRIMARY KEY,
    definition text NOT NULL
);

-- payrail: the shapes that doors take ------------------------------------------------------------------

CREATE TYPE payrail.payout_request AS (
    idempotency_key text,
    amount bigint,
    currency text,
    bank_account_id text,
    reference text,
    metadata jsonb
);

-- what create_payout answers: the HTTP status, the body word for word, and whether it had been given before
CREATE TYPE payrail.answer AS (
    status integer,
    body json,
    replayed boolean
);

CREATE TYPE payrail.settlement AS (
    payout_id uuid,
    utr text,
    answer jsonb
);

CREATE TYPE payrail.refusal AS (
    payout_id uuid,
    failure_code text,
    reason text,
    answer jsonb
);

-- and the shapes that clients see, as JSON: fields in this order
CREATE TYPE payrail.payout_document AS (
    id uuid,
    status text,
    amount bigint,
    currency text,
    amount_paise bigint,
    bank_account_id text,
    reference text,
    metadata jsonb,
    utr text,
    status_details json,
    created_at text,
    updated_at text,
    settled_at text,
    returned_at text
);
