-- The pattern of tb-perf (github.com/softwaremill/tb-perf), written anew from its description: PostgreSQL in the role of TigerBeetle.
-- A stored procedure locks the two accounts with SELECT … FOR UPDATE in the order of their ids, moves the money, and keeps the transfer.
CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0)
);

CREATE TABLE transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id bigint NOT NULL REFERENCES accounts (id),
    destination_id bigint NOT NULL REFERENCES accounts (id),
    amount bigint NOT NULL CHECK (amount > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (source_id <> destination_id)
);

CREATE INDEX ON transfers (source_id);
CREATE INDEX ON transfers (destination_id);
CREATE INDEX ON transfers (created_at);

CREATE FUNCTION transfer(p_source_id bigint, p_destination_id bigint, p_amount bigint)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_account record;
    v_found integer := 0;
BEGIN
    FOR v_account IN
        SELECT a.id, a.balance FROM accounts a WHERE a.id IN (p_source_id, p_destination_id) ORDER BY a.id FOR UPDATE
    LOOP
        v_found := v_found + 1;
        IF v_account.id = p_source_id AND v_account.balance < p_amount THEN
            RETURN 'insufficient_balance';
        END IF;
    END LOOP;
    IF v_found <> 2 THEN
        RETURN 'account_not_found';
    END IF;
    UPDATE accounts SET balance = balance - p_amount WHERE id = p_source_id;
    UPDATE accounts SET balance = balance + p_amount WHERE id = p_destination_id;
    INSERT INTO transfers (source_id, destination_id, amount) VALUES (p_source_id, p_destination_id, p_amount);
    RETURN 'success';
END
$$;

INSERT INTO accounts SELECT n, 1000000000 FROM generate_series(1, 1000) n;
