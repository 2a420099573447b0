-- Promises: what is wrong with the ledger, in its order, so that the first row is the first that was altered in its chain: an entry that
-- does not continue the one before it (broken), and one of p_anchors that has another hash now (rewritten: it or one before it was altered,
-- and all hashes made anew) or is not there (missing). No rows: every entry up to those is as it was when they were taken, and what came
-- later continues them.
-- Lock: none. It reads every entry.
-- Raises: PR111 p_anchors is no array, or the limit is out of bounds.
CREATE OR REPLACE FUNCTION payrail.verify_ledger(p_anchors jsonb DEFAULT '[]', p_limit integer DEFAULT 100)
RETURNS TABLE (merchant_id uuid, currency text, seq bigint, fault text)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(p_anchors) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'anchors');
    END IF;
    IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'limit', 'minimum', 1, 'maximum', 10000);
    END IF;
    RETURN QUERY
    SELECT
        c.merchant_id,
        c.currency,
        c.seq,
        'broken'
    FROM audit.broken_chain c
    UNION ALL
    SELECT
        a.merchant_id,
        a.currency,
        a.seq,
        CASE WHEN e.hash IS NULL THEN 'missing' ELSE 'rewritten' END
    FROM jsonb_to_recordset(p_anchors) a (merchant_id uuid, currency text, seq bigint, hash text)
    LEFT JOIN ledger.entries e ON a.merchant_id = e.merchant_id AND a.currency = e.currency AND a.seq = e.seq
    WHERE e.hash IS DISTINCT FROM decode(a.hash, 'hex')
    ORDER BY 1, 2, 3, 4
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION payrail.verify_ledger IS
'What is wrong with the ledger, the first first: entries that do not continue the one before (broken), and anchors (rows that
payrail.anchors once had, as a JSON array) whose entry has another hash now (rewritten) or is gone (missing).';
