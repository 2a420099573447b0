-- Promises: it is known when a file left; the first time counts.
-- Lock: the file's row.
CREATE OR REPLACE FUNCTION payrail.mark_file_sent(p_file_id uuid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    UPDATE rail.payment_files f
    SET sent_at = v_now
    WHERE f.file_id = p_file_id AND f.sent_at IS NULL;
END
$$;

COMMENT ON FUNCTION payrail.mark_file_sent IS 'Notes that a stored file is in the outbox.';
