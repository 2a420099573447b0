-- Promises: the bytes of a file are kept before they leave, and never change: of two who write it, the first one's count.
-- Lock: the file's row.
-- Raises: PR111 no such file, or no content.
CREATE OR REPLACE FUNCTION payrail.store_file(p_file_id uuid, p_content bytea)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(p_content) > 0 IS NOT TRUE THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'content');
    END IF;
    UPDATE rail.payment_files f
    SET content = p_content
    WHERE f.file_id = p_file_id AND f.content IS NULL;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM rail.payment_files f WHERE f.file_id = p_file_id) THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'file_id');
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.store_file IS 'Keeps the bytes of a file that was cut; a second time changes nothing.';
