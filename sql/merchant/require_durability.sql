-- Promises: what is read after a lock is what is there, and the commit will be durable.
-- Raises: PR901 synchronous_commit is off, PR902 isolation is not READ COMMITTED.
CREATE OR REPLACE FUNCTION merchant.require_durability()
RETURNS void
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
END
$$;
