-- Promises: how many batches are not over, by status, and how many of their lines wait for an answer. Only open ones are read.
CREATE OR REPLACE FUNCTION payrail.open_batches()
RETURNS TABLE (status text, batches bigint, lines_waiting bigint)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        s.status,
        count(b.batch_id),
        coalesce(sum(b.lines - b.accepted - b.rejected), 0)::bigint
    FROM unnest(ARRAY['pending', 'processing']) s (status)
    LEFT JOIN payout.batches b ON s.status = b.status AND b.completed_at IS NULL
    GROUP BY s.status;
END
$$;

COMMENT ON FUNCTION payrail.open_batches IS 'Batches that are not over, by status, and how many of their lines have not been answered.';
