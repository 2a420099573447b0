-- Promises: a bank's file has its effect once, with all its notices, in one commit: see rail.keep_notices. What it says of a whole file
-- of ours (p_whole, whose rail_ref is that file's message_id) it says of each instruction in it of which it says nothing by itself. One
-- that could not be used (p_error) is noted, and may come again.
-- Effects: received, repeated, refused.
-- Lock: the merchants', in the order of their ids.
-- Raises: PR111 no such rail, or what is malformed.
CREATE OR REPLACE FUNCTION payrail.receive_file(
    p_rail text,
    p_name text,
    p_content_hash bytea,
    p_kind text,
    p_message_id text,
    p_notices payrail.notice[],
    p_whole payrail.notice[],
    p_error text DEFAULT NULL
)
RETURNS TABLE (file_id uuid, effect text, notices integer, unmatched integer)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text := CASE
        WHEN NOT EXISTS (SELECT FROM rail.rails r WHERE r.rail = p_rail) THEN 'rail'
        WHEN length(p_name) BETWEEN 1 AND 255 IS NOT TRUE THEN 'name'
        WHEN octet_length(p_content_hash) = 32 IS NOT TRUE THEN 'content_hash'
        WHEN p_error IS NULL AND p_kind IN ('pain.002', 'camt.053', 'camt.054') IS NOT TRUE THEN 'kind'
        WHEN p_error IS NULL AND length(p_message_id) BETWEEN 1 AND 35 IS NOT TRUE THEN 'message_id'
        WHEN p_error IS NULL AND num_nulls(p_notices, p_whole) > 0 THEN 'notices'
    END;
    v_notices payrail.notice[];
BEGIN
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;
    IF p_error IS NOT NULL THEN
        INSERT INTO rail.bank_files AS b (rail, name, content_hash, notices, received_at, error)
        VALUES (p_rail, p_name, p_content_hash, 0, rail.clock(), left(p_error, 500))
        RETURNING b.file_id INTO file_id;
        effect := 'refused';
        notices := 0;
        unmatched := 0;
        RETURN NEXT;
        RETURN;
    END IF;

    v_notices := p_notices || ARRAY(
        SELECT ROW(w.event_id || '/' || f.rail_ref, f.rail_ref, w.outcome, w.code, w.reason, w.raw)::payrail.notice
        FROM unnest(p_whole) w
        INNER JOIN rail.payment_files k ON w.rail_ref = k.message_id AND k.rail = p_rail
        INNER JOIN rail.filed_instructions f ON k.file_id = f.file_id
        WHERE NOT EXISTS (SELECT FROM unnest(p_notices) n WHERE n.rail_ref = f.rail_ref)
    );
    INSERT INTO rail.bank_files AS b (rail, name, content_hash, kind, message_id, notices, received_at)
    VALUES (p_rail, p_name, p_content_hash, p_kind, p_message_id, cardinality(v_notices), rail.clock())
    ON CONFLICT DO NOTHING
    RETURNING b.file_id INTO file_id;
    IF NOT FOUND THEN
        RETURN QUERY
        SELECT
            b.file_id,
            'repeated',
            b.notices,
            0
        FROM rail.bank_files b
        WHERE b.rail = p_rail AND b.content_hash = p_content_hash AND b.error IS NULL;
        RETURN;
    END IF;

    SELECT count(*) FILTER (WHERE k.effect = 'unmatched') INTO unmatched
    FROM rail.keep_notices(p_rail, v_notices, payrail.actor(NULL), file_id) k;
    effect := 'received';
    notices := cardinality(v_notices);
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION payrail.receive_file IS
'Keeps what a file of a bank says, once per content, and makes the payouts due to be asked about: received, repeated, or, with p_error, refused.';
