-- Promises: every row inserted into the ledger continues it. The number, the position after the movement and
-- the hash come from the newest row and the kind, not from the writer. An overdraft does not fit: a balance is a
-- ledger.balance, never negative; nor does a second writer that did not hold the merchant's lock: seq is taken.
-- The first entry in a currency opens the merchant's book in it.
-- Raises: PR401 no such merchant, PR502 the writer is not a door, PR903 unknown kind of entry, or not its kind of cause, or more
-- money that comes in than a credit can be.
CREATE OR REPLACE FUNCTION ledger.continue_chain()
RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    v_previous_hash bytea;
BEGIN
    IF current_user <> 'payrail_owner' THEN
        RAISE EXCEPTION 'the ledger is written by the doors only'
            USING ERRCODE = 'PR502', HINT = 'Call a function of schema payrail, such as payrail.credit_merchant.';
    END IF;

    SELECT
        coalesce(e.seq, 0) + 1,
        coalesce(e.available, 0) + k.available_sign * NEW.amount,
        coalesce(e.held, 0) + k.held_sign * NEW.amount,
        -- never earlier than the row before, even if the clock is set back
        greatest(clock_timestamp(), e.created_at),
        e.hash
    INTO NEW.seq, NEW.available, NEW.held, NEW.created_at, v_previous_hash
    FROM ledger.kinds k
    LEFT JOIN LATERAL (
        SELECT l.seq, l.available, l.held, l.created_at, l.hash
        FROM ledger.entries l
        WHERE l.merchant_id = NEW.merchant_id AND l.currency = NEW.currency
        ORDER BY l.seq DESC
        LIMIT 1
    ) e ON TRUE
    WHERE
        k.kind = NEW.kind
        AND k.of_payout = (NEW.payout_id IS NOT NULL)
        AND k.of_payout = (NEW.reference IS NULL)
        AND (k.of_payout OR NEW.amount <= 1000000000000000);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a ledger entry is of a known kind, names its cause, and brings in at most 10^15' USING ERRCODE = 'PR903';
    END IF;
    -- instead of a foreign key: every later entry follows one of the same merchant, and merchants are never deleted
    IF NEW.seq = 1 THEN
        IF NOT EXISTS (SELECT FROM merchant.merchants m WHERE m.merchant_id = NEW.merchant_id) THEN
            RAISE EXCEPTION 'no such merchant'
                USING ERRCODE = 'PR401', DETAIL = json_build_object('field', 'merchant_id', 'merchant_id', NEW.merchant_id);
        END IF;
        INSERT INTO ledger.books (merchant_id, currency) VALUES (NEW.merchant_id, NEW.currency);
    END IF;
    NEW.hash := ledger.entry_hash(
        v_previous_hash, NEW.merchant_id, NEW.currency, NEW.seq, NEW.kind, NEW.amount, NEW.available, NEW.held, NEW.payout_id,
        NEW.reference, NEW.created_at
    );
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER continue_chain
BEFORE INSERT ON ledger.entries
FOR EACH ROW EXECUTE FUNCTION ledger.continue_chain();

ALTER TABLE ledger.entries ENABLE ALWAYS TRIGGER continue_chain;
