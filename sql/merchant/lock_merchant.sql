-- Promises: the caller holds the merchant's row until its transaction ends, so that everything it reads in a
-- later statement stays true; and the commit will be durable. Returns the time after the wait for the lock.
-- Lock: the merchant's row, FOR NO KEY UPDATE. The only lock of every money function, taken first.
-- Raises: PR401 no such merchant, PR901 synchronous_commit is off, PR902 isolation is not READ COMMITTED.
CREATE OR REPLACE FUNCTION merchant.lock_merchant(p_merchant_id uuid)
RETURNS timestamptz
LANGUAGE plpgsql
AS $$
BEGIN
    -- any session may switch it off for itself, and then a crash loses payouts that were acknowledged
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        RAISE EXCEPTION 'synchronous_commit must be on to move money' USING ERRCODE = 'PR901';
    END IF;
    -- a snapshot older than the lock would show the balance before the other transaction's payout
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'isolation level must be READ COMMITTED to move money' USING ERRCODE = 'PR902';
    END IF;

    PERFORM
    FROM merchant.merchants m
    WHERE m.merchant_id = p_merchant_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such merchant'
            USING ERRCODE = 'PR401', DETAIL = json_build_object('field', 'merchant_id', 'merchant_id', p_merchant_id);
    END IF;
    RETURN clock_timestamp();
END
$$;
