-- Promises: every row inserted into the ledger continues it. The number, the position after the movement and
-- the hash come from the newest row and the kind, not from the writer. An overdraft does not fit: a balance is a
-- ledger.balance, never negative; nor does a second writer that did not hold the merchant's lock: seq is taken.
-- Raises: PR502 the writer is not a door, PR903 unknown kind of entry, or no cause.
CREATE OR REPLACE FUNCTION ledger.continue_chain()
RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    v_previous ledger.entries;
BEGIN
    IF current_user <> 'payrail_owner' THEN
        RAISE EXCEPTION 'the ledger is written by the doors only'
            USING ERRCODE = 'PR502', HINT = 'Call a function of schema payrail, such as payrail.credit_merchant.';
    END IF;
    -- a credit names the reference of the money that came in, every other kind its payout
    IF ledger.debit_account(NEW.kind) IS NULL OR (NEW.kind = 'credit') = (NEW.reference IS NULL)
        OR (NEW.reference IS NULL) = (NEW.payout_id IS NULL)
    THEN
        RAISE EXCEPTION 'a ledger entry is of a known kind and names its cause' USING ERRCODE = 'PR903';
    END IF;

    SELECT e.* INTO v_previous
    FROM ledger.entries e
    WHERE e.merchant_id = NEW.merchant_id AND e.currency = NEW.currency
    ORDER BY e.seq DESC
    LIMIT 1;

    NEW.seq := coalesce(v_previous.seq, 0) + 1;
    NEW.available := coalesce(v_previous.available, 0) + ledger.change_of('available', NEW.kind, NEW.amount);
    NEW.held := coalesce(v_previous.held, 0) + ledger.change_of('held', NEW.kind, NEW.amount);
    -- never earlier than the row before, even if the clock is set back
    NEW.created_at := greatest(clock_timestamp(), v_previous.created_at);
    NEW.hash := ledger.entry_hash(v_previous.hash, NEW);
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER continue_chain
BEFORE INSERT ON ledger.entries
FOR EACH ROW EXECUTE FUNCTION ledger.continue_chain();

ALTER TABLE ledger.entries ENABLE ALWAYS TRIGGER continue_chain;
