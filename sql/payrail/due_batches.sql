-- Promises: of each merchant with open batches the oldest, by a plain read: no lock, and advancing checks again.
CREATE OR REPLACE FUNCTION payrail.due_batches(p_limit integer DEFAULT 1000)
RETURNS TABLE (merchant_id uuid, batch_id uuid)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (b.merchant_id)
        b.merchant_id,
        b.batch_id
    FROM payout.batches b
    WHERE b.completed_at IS NULL
    ORDER BY b.merchant_id, b.batch_id
    LIMIT p_limit;
END
$$;

COMMENT ON FUNCTION payrail.due_batches IS 'Batches that are to be advanced, the oldest of each merchant.';
