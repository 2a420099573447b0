-- The sandbox is a pretend bank. What a bank remembers is its own, not a merchant's: it knows an instruction by its
-- reference, which is therefore the key.
-- depends: 0001-core
CREATE SCHEMA sandbox;

CREATE TABLE sandbox.instructions (
    rail_ref text PRIMARY KEY,
    amount bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    -- from then on the bank tells the outcome; infinity: it never does
    answers_at timestamptz NOT NULL,
    submissions integer NOT NULL DEFAULT 1,
    -- what the bank says on submission never arrives
    answer_lost boolean NOT NULL,
    account_number text NOT NULL,
    currency text NOT NULL,
    utr text UNIQUE,
    failure_code text,
    CONSTRAINT paid_or_refused CHECK (num_nonnulls(utr, failure_code) = 1)
);

CREATE SEQUENCE sandbox.utr AS bigint;

-- What becomes of an instruction, by the ending of the account number and a throw of a dice with the sides 0 … 99: the
-- row with the lowest up_to above the throw. Without a failure code it is paid, and so is every other account. 0000 is
-- the demo's: 70 % paid, 20 % refused, 10 % slow.
CREATE TABLE sandbox.test_numbers (
    ending text NOT NULL,
    up_to integer NOT NULL DEFAULT 100,
    failure_code text,
    delay interval NOT NULL DEFAULT '0',
    answer_lost boolean NOT NULL DEFAULT FALSE,
    PRIMARY KEY (ending, up_to)
);

INSERT INTO sandbox.test_numbers (ending, up_to, failure_code, delay, answer_lost)
VALUES
('0001', 100, NULL, '0', FALSE),
('0002', 100, NULL, '3 seconds', FALSE),
('0101', 100, 'account_closed', '0', FALSE),
('0102', 100, 'account_invalid', '0', FALSE),
('0103', 100, 'account_frozen', '0', FALSE),
('0201', 100, 'beneficiary_bank_offline', '0', FALSE),
('0301', 100, NULL, '0', TRUE),
('0302', 100, 'beneficiary_bank_rejected', '0', TRUE),
('0303', 100, NULL, 'infinity', TRUE),
('0000', 70, NULL, '0', FALSE),
('0000', 74, 'account_closed', '0', FALSE),
('0000', 78, 'account_frozen', '0', FALSE),
('0000', 82, 'name_mismatch', '0', FALSE),
('0000', 86, 'beneficiary_bank_offline', '0', FALSE),
('0000', 90, 'beneficiary_limit_exceeded', '0', FALSE),
('0000', 100, NULL, '3 seconds', FALSE);
