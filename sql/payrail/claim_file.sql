-- Promises: the oldest file that is stored and has not left, for one worker to write for the length of a lease. One that is written twice
-- after all, by a worker that died in between, is the same file: a bank takes a MsgId once. No row: there is none, or another worker has
-- just taken it.
-- Lock: the file's row.
-- Raises: PR111 a lease out of bounds.
CREATE OR REPLACE FUNCTION payrail.claim_file(p_rail text, p_lease interval DEFAULT '60 seconds')
RETURNS TABLE (file_id uuid, message_id text, content bytea)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    IF coalesce(p_lease, '0') NOT BETWEEN INTERVAL '1 second' AND INTERVAL '1 hour' THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'lease', 'minimum', '1 second', 'maximum', '1 hour');
    END IF;
    RETURN QUERY
    UPDATE rail.payment_files f
    SET claimed_until = v_now + p_lease
    WHERE
        f.file_id = (
            SELECT w.file_id
            FROM rail.payment_files w
            WHERE
                w.rail = p_rail
                AND w.sent_at IS NULL
                AND w.content IS NOT NULL
                AND (w.claimed_until IS NULL OR w.claimed_until <= v_now)
            ORDER BY w.file_id
            LIMIT 1
        )
        AND (f.claimed_until IS NULL OR f.claimed_until <= v_now)
    RETURNING f.file_id, f.message_id, f.content;
END
$$;

COMMENT ON FUNCTION payrail.claim_file IS
'Hands the oldest file that is stored and has not left to a worker, for the length of a lease.';
