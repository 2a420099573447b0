-- Promises: as merchant.lock_merchant, for those of these merchants whose row nobody else holds; returns which. It never waits, so there
-- is no order in which two callers could wait for each other.
-- Lock: the merchants' rows, FOR NO KEY UPDATE.
-- Raises: PR901, PR902 (merchant.require_durability).
CREATE OR REPLACE FUNCTION merchant.lock_free_merchants(p_merchant_ids uuid[])
RETURNS SETOF uuid
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM merchant.require_durability();
    RETURN QUERY
    SELECT m.merchant_id
    FROM merchant.merchants m
    WHERE m.merchant_id = ANY (p_merchant_ids)
    FOR NO KEY UPDATE SKIP LOCKED;
END
$$;
