-- Promises: as merchant.lock_merchant, for these merchants; returns which are locked. Those whose row somebody else holds, or who are not
-- there, are left out, so that it never waits and there is no order in which two callers could wait for each other. With p_wait it
-- waits for all, in the order of their ids.
-- Lock: the merchants' rows, FOR NO KEY UPDATE.
-- Raises: PR901, PR902 (merchant.require_durability); with p_wait PR401 no such merchant.
CREATE OR REPLACE FUNCTION merchant.lock_merchants(p_merchant_ids uuid[], p_wait boolean)
RETURNS uuid[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_merchant_ids uuid[] := ARRAY(SELECT DISTINCT u FROM unnest(p_merchant_ids) u ORDER BY u);
    v_merchant_id uuid;
BEGIN
    IF p_wait IS NOT TRUE THEN
        PERFORM merchant.require_durability();
        RETURN ARRAY(
            SELECT m.merchant_id
            FROM merchant.merchants m
            WHERE m.merchant_id = ANY (v_merchant_ids)
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    FOREACH v_merchant_id IN ARRAY v_merchant_ids LOOP
        PERFORM merchant.lock_merchant(v_merchant_id);
    END LOOP;
    RETURN v_merchant_ids;
END
$$;
