-- Banks that are paid by files: which instruction went into which file, what left, and what came back. An instruction is in one
-- file for ever, and a file's bytes are stored before they leave, so only the identical file can ever leave again.
-- depends: 0005-rails
CREATE TABLE rail.payment_files (
    file_id uuid PRIMARY KEY DEFAULT uuidv7(),
    rail text NOT NULL REFERENCES rail.rails,
    message_id text GENERATED ALWAYS AS ('PR' || replace(file_id::text, '-', '')) STORED UNIQUE,
    currency text NOT NULL,
    instructions integer NOT NULL CHECK (instructions > 0),
    -- a control sum has 18 digits
    amount bigint NOT NULL CHECK (amount BETWEEN 1 AND 999999999999999999),
    cut_at timestamptz NOT NULL,
    content bytea,
    content_hash bytea GENERATED ALWAYS AS (sha256(content)) STORED,
    claimed_until timestamptz,
    sent_at timestamptz,
    CONSTRAINT stored_before_it_leaves CHECK (sent_at IS NULL OR content IS NOT NULL)
);

CREATE INDEX payment_files_to_send ON rail.payment_files (rail, file_id)
WHERE sent_at IS NULL;

CREATE INDEX payment_files_by_time ON rail.payment_files (rail, cut_at);

-- What waits for a file, or is in one. One whose payout has ended before a file was cut is withdrawn.
CREATE TABLE rail.filed_instructions (
    rail_ref text PRIMARY KEY,
    rail text NOT NULL REFERENCES rail.rails,
    merchant_id uuid NOT NULL,
    payout_id uuid NOT NULL,
    queued_at timestamptz NOT NULL,
    file_id uuid REFERENCES rail.payment_files,
    withdrawn_at timestamptz,
    CONSTRAINT filed_or_withdrawn CHECK (num_nonnulls(file_id, withdrawn_at) <= 1)
);

CREATE INDEX filed_instructions_waiting ON rail.filed_instructions (rail, queued_at)
WHERE file_id IS NULL AND withdrawn_at IS NULL;

CREATE INDEX filed_instructions_by_file ON rail.filed_instructions (file_id)
WHERE file_id IS NOT NULL;

-- What a bank has left in the inbox; one that could not be used says why, and may come again.
CREATE TABLE rail.bank_files (
    file_id uuid PRIMARY KEY DEFAULT uuidv7(),
    rail text NOT NULL REFERENCES rail.rails,
    name text NOT NULL CONSTRAINT name_bounded CHECK (length(name) BETWEEN 1 AND 255),
    content_hash bytea NOT NULL CONSTRAINT content_hash_is_sha256 CHECK (octet_length(content_hash) = 32),
    kind text CONSTRAINT file_kind_known CHECK (kind IN ('pain.002', 'camt.053', 'camt.054')),
    message_id text CONSTRAINT message_id_bounded CHECK (length(message_id) BETWEEN 1 AND 35),
    notices integer NOT NULL,
    received_at timestamptz NOT NULL,
    error text CONSTRAINT error_bounded CHECK (length(error) BETWEEN 1 AND 500),
    CONSTRAINT read_or_refused CHECK (num_nonnulls(kind, message_id) = CASE WHEN error IS NULL THEN 2 ELSE 0 END)
);

CREATE UNIQUE INDEX bank_files_once ON rail.bank_files (rail, content_hash)
WHERE error IS NULL;

-- Which file a notice came in. What came by callback is no evidence for a bank that answers by files.
ALTER TABLE rail.notices ADD COLUMN file_id uuid REFERENCES rail.bank_files;

CREATE INDEX notices_by_file ON rail.notices (file_id)
WHERE file_id IS NOT NULL;

-- 34 is the most that ISO 13616 (IBAN) and ISO 20022 (Max34Text) have room for.
ALTER TABLE merchant.bank_accounts
DROP CONSTRAINT account_number_plain,
ADD CONSTRAINT account_number_plain CHECK (account_number ~ '^[A-Za-z0-9]{5,34}$');
