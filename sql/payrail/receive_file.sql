-- Promises: a bank's file has its effect once, however often it is taken: see rail.keep_notices. A large one is taken in several calls,
-- each with a part of its notices; after a crash it is taken again from its beginning. What it says of a whole file of ours (p_whole,
-- whose rail_ref is that file's message_id) it says of each instruction in it of which it says nothing by itself, so this goes with the
-- last part. One that could not be used (p_error) is noted once, and may come again.
-- Effects: received, repeated (an earlier call has noted the file), refused.
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
    p_error text DEFAULT NULL,
    p_in_all integer DEFAULT NULL
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
        WHEN p_in_all < 0 THEN 'in_all'
    END;
    v_notices payrail.notice[];
    v_file_id uuid;
    v_matched integer;
BEGIN
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;
    IF p_error IS NOT NULL THEN
        SELECT b.file_id INTO file_id
        FROM rail.bank_files b
        WHERE b.rail = p_rail AND b.name = p_name AND b.content_hash = p_content_hash AND b.error = left(p_error, 500);
        IF NOT FOUND THEN
            INSERT INTO rail.bank_files AS b (rail, name, content_hash, notices, received_at, error)
            VALUES (p_rail, p_name, p_content_hash, 0, rail.clock(), left(p_error, 500))
            RETURNING b.file_id INTO file_id;
        END IF;
        effect := 'refused';
        notices := 0;
        unmatched := 0;
        RETURN NEXT;
        RETURN;
    END IF;

    SELECT b.file_id INTO v_file_id
    FROM rail.bank_files b
    WHERE b.rail = p_rail AND b.content_hash = p_content_hash AND b.error IS NULL;
    v_notices := p_notices || ARRAY(
        SELECT ROW(w.event_id || '/' || f.rail_ref, f.rail_ref, w.outcome, w.code, w.reason, w.raw)::payrail.notice
        FROM unnest(p_whole) w
        INNER JOIN rail.payment_files k ON w.rail_ref = k.message_id AND k.rail = p_rail
        INNER JOIN rail.filed_instructions f ON k.file_id = f.file_id
        WHERE
            NOT EXISTS (SELECT FROM unnest(p_notices) n WHERE n.rail_ref = f.rail_ref)
            AND NOT EXISTS (
                SELECT
                FROM rail.notices o
                WHERE o.rail = p_rail AND o.rail_ref = f.rail_ref AND o.file_id = v_file_id
            )
    );
    INSERT INTO rail.bank_files AS b (rail, name, content_hash, kind, message_id, notices, received_at)
    VALUES (p_rail, p_name, p_content_hash, p_kind, p_message_id, coalesce(p_in_all, cardinality(v_notices)), rail.clock())
    ON CONFLICT DO NOTHING
    RETURNING b.file_id INTO file_id;
    effect := CASE WHEN FOUND THEN 'received' ELSE 'repeated' END;
    IF effect = 'repeated' THEN
        SELECT b.file_id INTO file_id
        FROM rail.bank_files b
        WHERE b.rail = p_rail AND b.content_hash = p_content_hash AND b.error IS NULL;
    END IF;

    SELECT
        count(*) FILTER (WHERE k.effect = 'unmatched'),
        count(*) FILTER (WHERE k.effect = 'stored')
    INTO unmatched, v_matched
    FROM rail.keep_notices(p_rail, v_notices, payrail.actor(NULL), file_id) k;
    notices := unmatched + v_matched;
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION payrail.receive_file IS
'Keeps what a file of a bank says, once per content, and makes the payouts due to be asked about: received, repeated, or, with p_error, refused.
p_in_all: how many notices are in a file that is taken in parts. notices is how many of these were new.';
