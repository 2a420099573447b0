-- Batches: up to 10,000 payouts that are asked for at once. A line is asked for in one row and answered in another, and neither is
-- ever altered; the batch itself counts how far it is.
-- depends: 0010-webhooks
CREATE TABLE payout.batches (
    merchant_id uuid NOT NULL REFERENCES merchant.merchants,
    batch_id uuid NOT NULL,
    idempotency_key ledger.reference NOT NULL,
    fingerprint bytea NOT NULL,
    mode text NOT NULL CONSTRAINT mode_known CHECK (mode IN ('best_effort', 'all_or_nothing')),
    name text CONSTRAINT batch_name_bounded CHECK (length(name) BETWEEN 1 AND 255),
    lines integer NOT NULL CONSTRAINT lines_bounded CHECK (lines BETWEEN 1 AND 10000),
    totals jsonb NOT NULL,
    status text NOT NULL CONSTRAINT batch_status_known CHECK (
        status IN ('pending', 'processing', 'completed', 'rejected', 'cancelled')
    ),
    accepted integer NOT NULL DEFAULT 0 CONSTRAINT accepted_counted CHECK (accepted >= 0),
    rejected integer NOT NULL DEFAULT 0 CONSTRAINT rejected_counted CHECK (rejected >= 0),
    -- who asks, and can not approve what comes of it
    owner text,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    -- when the last lines were answered
    advanced_at timestamptz,
    -- when it ended, however it did
    completed_at timestamptz,
    -- what the upload was answered, word for word
    answer json NOT NULL,
    PRIMARY KEY (merchant_id, batch_id),
    UNIQUE (merchant_id, idempotency_key),
    CONSTRAINT over_when_completed CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'rejected', 'cancelled'))),
    CONSTRAINT completed_with_every_line CHECK (
        accepted + rejected <= lines AND (status <> 'completed' OR accepted + rejected = lines)
    ),
    CONSTRAINT all_or_nothing CHECK (
        mode <> 'all_or_nothing' OR (status = 'completed' AND accepted = lines) OR (status <> 'completed' AND accepted = 0)
    ),
    CONSTRAINT rejected_as_a_whole CHECK (status <> 'rejected' OR (mode = 'all_or_nothing' AND rejected > 0)),
    CONSTRAINT untouched_before_it_starts CHECK (status NOT IN ('pending', 'cancelled') OR accepted + rejected = 0)
);

-- The open ones, which the worker looks for.
CREATE INDEX batches_open ON payout.batches (merchant_id, batch_id)
WHERE completed_at IS NULL;

-- What is asked for, as payrail.create_payouts takes it: what a payout can be asked for, a line can.
CREATE TABLE payout.batch_lines (
    merchant_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    line integer NOT NULL,
    request payrail.payout_request NOT NULL,
    PRIMARY KEY (merchant_id, batch_id, line)
);

-- What became of it: a payout, or why there is none. Of a batch that was rejected as a whole only the lines at fault are here.
CREATE TABLE payout.batch_answers (
    merchant_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    line integer NOT NULL,
    payout_id uuid,
    replayed boolean NOT NULL,
    code text,
    detail text,
    PRIMARY KEY (merchant_id, batch_id, line),
    CONSTRAINT a_payout_or_a_reason CHECK (num_nonnulls(payout_id, code) = 1)
);

CREATE INDEX batch_answers_by_payout ON payout.batch_answers (merchant_id, payout_id)
WHERE payout_id IS NOT NULL;

-- the shapes that clients see, as JSON: fields in this order
CREATE TYPE payrail.batch_document AS (
    id uuid,
    status text,
    mode text,
    name text,
    lines integer,
    accepted integer,
    rejected integer,
    totals jsonb,
    created_at text,
    completed_at text
);

CREATE TYPE payrail.batch_line_document AS (
    line integer,
    outcome text,
    amount bigint,
    currency text,
    bank_account_id text,
    reference text,
    metadata jsonb,
    idempotency_key text,
    payout_id uuid,
    payout_status text,
    replayed boolean,
    code text,
    detail text
);

INSERT INTO webhook.event_types (type, description) VALUES
('batch.completed', 'A batch is over: its status says how, and its lines what became of each.');
