-- How each bank moves money: its modes, with what they can pay, their bounds and their hours. What a bank says nothing of, a currency
-- or a kind of account, it is given without a mode.
-- depends: 0012-statements
CREATE TABLE rail.modes (
    rail text NOT NULL REFERENCES rail.rails,
    mode text NOT NULL CONSTRAINT mode_plain CHECK (mode ~ '^[A-Z][A-Z0-9_]{1,15}$'),
    currency text NOT NULL CONSTRAINT currency_plain CHECK (currency ~ '^[A-Z]{3}$'),
    accounts text[] NOT NULL CONSTRAINT mode_accounts_known CHECK (
        accounts <@ ARRAY['account_number', 'vpa', 'iban'] AND cardinality(accounts) > 0
    ),
    amount_min ledger.amount NOT NULL DEFAULT 1,
    amount_max ledger.amount NOT NULL DEFAULT 1000000000000000,
    -- of those that are open, the one with the lowest is chosen
    rank smallint NOT NULL,
    -- by the clock of its zone, and not on the holidays of its calendar; NULL is at any time, on any day
    opens time,
    closes time,
    days smallint[] CONSTRAINT days_of_iso_8601 CHECK (days <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[] AND cardinality(days) > 0),
    time_zone text NOT NULL DEFAULT 'UTC',
    calendar text,
    PRIMARY KEY (rail, mode, currency),
    CONSTRAINT bounds_in_order CHECK (amount_min <= amount_max),
    CONSTRAINT opens_before_it_closes CHECK (num_nonnulls(opens, closes) IN (0, 2) AND opens < closes IS NOT FALSE)
);

CREATE TABLE rail.holidays (
    calendar text NOT NULL CONSTRAINT calendar_bounded CHECK (length(calendar) BETWEEN 1 AND 64),
    day date NOT NULL,
    name text NOT NULL CONSTRAINT holiday_name_bounded CHECK (length(name) BETWEEN 1 AND 200),
    PRIMARY KEY (calendar, day)
);

-- As India's and Europe's are, but that the sandbox bank also pays less than a rupee, and on every day.
INSERT INTO rail.modes (rail, mode, currency, accounts, amount_min, amount_max, rank) VALUES
    ('sandbox', 'IMPS', 'INR', '{account_number}', 1, 50000000, 1),
    ('sandbox', 'RTGS', 'INR', '{account_number}', 20000000, 1000000000000000, 2),
    ('sandbox', 'NEFT', 'INR', '{account_number}', 1, 1000000000000000, 3),
    ('sandbox', 'UPI', 'INR', '{vpa}', 1, 10000000, 1),
    ('sandbox', 'SEPA', 'EUR', '{iban}', 1, 1000000000000000, 1);

-- mode_opens_at: until when it waits, or did, because its mode was closed
ALTER TABLE payout.payouts
ADD COLUMN mode text,
ADD COLUMN mode_reason text,
ADD COLUMN mode_opens_at timestamptz;

DROP FUNCTION IF EXISTS payout.request_fingerprint(bigint, text, text, text, jsonb, timestamptz, boolean, text, uuid);
DROP FUNCTION IF EXISTS payrail.create_payout(
    uuid, text, bigint, text, text, timestamptz, boolean, text, jsonb, text, uuid, text, text
);

ALTER TYPE payrail.payout_request ADD ATTRIBUTE mode text;

ALTER TYPE payrail.payout_document ADD ATTRIBUTE mode text;
ALTER TYPE payrail.payout_document ADD ATTRIBUTE mode_reason text;
