-- The pattern of pgledger (github.com/pgr0ss/pgledger), written anew from its description: a transfer between two accounts of one
-- currency writes two entries, each with the account's balance before and after and its version. Ids are prefixed text that sorts by
-- time; UUIDs here, ULIDs there, which cost more to make.
CREATE TABLE accounts (
    id text PRIMARY KEY,
    name text NOT NULL,
    currency text NOT NULL,
    balance numeric NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    allow_negative_balance boolean NOT NULL DEFAULT TRUE,
    allow_positive_balance boolean NOT NULL DEFAULT TRUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE transfers (
    id text PRIMARY KEY DEFAULT 'pglt_' || uuidv7()::text,
    from_account_id text NOT NULL REFERENCES accounts (id),
    to_account_id text NOT NULL REFERENCES accounts (id),
    amount numeric NOT NULL CHECK (amount > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    event_at timestamptz NOT NULL DEFAULT now(),
    CHECK (from_account_id <> to_account_id)
);

CREATE INDEX ON transfers (from_account_id);
CREATE INDEX ON transfers (to_account_id);

CREATE TABLE entries (
    id text PRIMARY KEY DEFAULT 'pgle_' || uuidv7()::text,
    account_id text NOT NULL REFERENCES accounts (id),
    transfer_id text NOT NULL REFERENCES transfers (id),
    amount numeric NOT NULL,
    account_previous_balance numeric NOT NULL,
    account_current_balance numeric NOT NULL,
    account_version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX ON entries (account_id);
CREATE INDEX ON entries (transfer_id);

CREATE FUNCTION move(p_account_id text, p_transfer_id text, p_amount numeric)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_account accounts;
BEGIN
    UPDATE accounts a
    SET
        balance = a.balance + p_amount,
        version = a.version + 1,
        updated_at = now()
    WHERE a.id = p_account_id
    RETURNING a.* INTO v_account;
    IF v_account.balance < 0 AND NOT v_account.allow_negative_balance THEN
        RAISE EXCEPTION 'account % may not be negative', p_account_id;
    END IF;
    IF v_account.balance > 0 AND NOT v_account.allow_positive_balance THEN
        RAISE EXCEPTION 'account % may not be positive', p_account_id;
    END IF;
    INSERT INTO entries (account_id, transfer_id, amount, account_previous_balance, account_current_balance, account_version)
    VALUES (p_account_id, p_transfer_id, p_amount, v_account.balance - p_amount, v_account.balance, v_account.version);
END
$$;

CREATE FUNCTION transfer(p_from text, p_to text, p_amount numeric)
RETURNS SETOF transfers
LANGUAGE plpgsql
AS $$
DECLARE
    v_transfer transfers;
    v_currencies text[];
BEGIN
    v_currencies := ARRAY(
        SELECT a.currency FROM accounts a WHERE a.id IN (p_from, p_to) ORDER BY a.id FOR UPDATE
    );
    IF cardinality(v_currencies) <> 2 OR v_currencies[1] <> v_currencies[2] THEN
        RAISE EXCEPTION 'not two accounts of one currency';
    END IF;
    INSERT INTO transfers (from_account_id, to_account_id, amount)
    VALUES (p_from, p_to, p_amount)
    RETURNING * INTO v_transfer;
    PERFORM move(p_from, v_transfer.id, -p_amount);
    PERFORM move(p_to, v_transfer.id, p_amount);
    RETURN NEXT v_transfer;
END
$$;

INSERT INTO accounts (id, name, currency)
SELECT 'pgla_' || lpad(n::text, 26, '0'), 'account ' || n, 'INR' FROM generate_series(1, 1000) n;
