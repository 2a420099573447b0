-- Promises: the caller holds the merchant's row until its transaction ends, so that everything it reads in a
-- later statement stays true; and the commit will be durable. Returns the time after the wait for the lock.
-- Lock: the merchant's row, FOR NO KEY UPDATE. The only lock of every money function, taken first.
-- Raises: PR401 no such merchant, PR901, PR902 (merchant.require_durability).
CREATE OR REPLACE FUNCTION merchant.lock_merchant(p_merchant_id uuid)
RETURNS timestamptz
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM merchant.require_durability();
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
