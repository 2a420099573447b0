-- Promises: the newest entry that was there at an instant; no row before the first. created_at never falls along a chain, so the
-- entry is found by halving: twenty looks into the index for a million entries, and no index by time to keep.
CREATE OR REPLACE FUNCTION ledger.position_at(p_merchant_id uuid, p_currency text, p_at timestamptz)
RETURNS SETOF ledger.entries
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_low bigint := 0;
    v_high bigint;
    v_middle bigint;
BEGIN
    SELECT e.seq INTO v_high
    FROM ledger.entries e
    WHERE e.merchant_id = p_merchant_id AND e.currency = p_currency
    ORDER BY e.seq DESC
    LIMIT 1;
    -- the entry asked for is v_low (0: none) to v_high
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high + 1) / 2;
        PERFORM
        FROM ledger.entries e
        WHERE e.merchant_id = p_merchant_id AND e.currency = p_currency AND e.seq = v_middle AND e.created_at <= p_at;
        IF FOUND THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle - 1;
        END IF;
    END LOOP;

    RETURN QUERY
    SELECT e.*
    FROM ledger.entries e
    WHERE e.merchant_id = p_merchant_id AND e.currency = p_currency AND e.seq = v_low;
END
$$;
