-- Promises: each notice of a bank is kept once per event of the bank, and where it tells of something new, the bank is asked: the payout
-- is due now. It changes nothing else, whatever it says; but what was thought never to have left, and the bank tells of, has: it is
-- processing again. p_file_id: the file in which they came; what a file has booked otherwise than it should is a case.
-- Effects: stored, repeated, unmatched (kept; no payout was ever sent under this reference).
-- Lock: the merchants', in the order of their ids.
-- Raises: PR111 no such rail, or a malformed notice.
CREATE OR REPLACE FUNCTION rail.keep_notices(
    p_rail text, p_notices payrail.notice[], p_actor text, p_file_id uuid DEFAULT NULL
)
RETURNS TABLE (event_id text, effect text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_field text;
    v_new text[];
    v_now timestamptz;
    v_merchant_id uuid;
    v_payout_ids uuid[];
BEGIN
    v_field := CASE
        WHEN NOT EXISTS (SELECT FROM rail.rails r WHERE r.rail = p_rail) THEN 'rail'
        WHEN p_notices IS NULL THEN 'notices'
        ELSE (
            SELECT
                CASE
                    WHEN length(n.event_id) BETWEEN 1 AND 255 IS NOT TRUE THEN 'event_id'
                    WHEN length(n.rail_ref) BETWEEN 1 AND 255 IS NOT TRUE THEN 'rail_ref'
                    WHEN n.outcome IN ('paid', 'refused', 'returned', 'pending', 'unknown') IS NOT TRUE THEN 'outcome'
                    WHEN n.raw IS NULL THEN 'raw'
                END AS field
            FROM unnest(p_notices) n
            ORDER BY field NULLS LAST
            LIMIT 1
        )
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;

    WITH kept AS (
        INSERT INTO rail.notices AS k (rail, event_id, rail_ref, outcome, code, reason, raw, file_id)
        SELECT DISTINCT ON (n.event_id) p_rail, n.event_id, n.rail_ref, n.outcome, n.code, n.reason, n.raw, p_file_id
        FROM unnest(p_notices) n
        ORDER BY n.event_id
        ON CONFLICT DO NOTHING
        RETURNING k.event_id
    )

    SELECT coalesce(array_agg(k.event_id), '{}') INTO v_new FROM kept k;

    FOR v_merchant_id, v_payout_ids IN
        SELECT
            i.merchant_id,
            array_agg(DISTINCT i.payout_id) FILTER (WHERE w.is_news)
        FROM unnest(p_notices) n
        INNER JOIN rail.instructions i ON n.rail_ref = i.rail_ref AND i.rail = p_rail
        INNER JOIN payout.payouts p ON i.merchant_id = p.merchant_id AND i.payout_id = p.payout_id
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    WHEN p.status IN ('pending', 'processing') THEN TRUE
                    WHEN n.outcome IN ('pending', 'unknown') THEN FALSE
                    -- a case, and no answer
                    WHEN p_file_id IS NOT NULL AND n.outcome IN ('paid', 'returned') AND NOT rail.is_of_sum(n.raw, p.amount, p.currency)
                        THEN FALSE
                    WHEN n.outcome = 'paid' THEN p.utr IS DISTINCT FROM n.code
                    WHEN n.outcome = 'refused' THEN p.failure_code IS DISTINCT FROM n.code
                    ELSE p.return_code IS DISTINCT FROM n.code
                END AS is_news
        ) w
        WHERE n.event_id = ANY (v_new) AND (w.is_news OR p_file_id IS NOT NULL)
        GROUP BY i.merchant_id
        ORDER BY i.merchant_id
    LOOP
        PERFORM merchant.lock_merchant(v_merchant_id);
        v_now := rail.clock();
        IF p_file_id IS NOT NULL THEN
            PERFORM rail.note_bookings(v_merchant_id, p_rail, v_new);
        END IF;
        IF v_payout_ids IS NOT NULL THEN
            PERFORM rail.ask_bank(v_merchant_id, v_payout_ids, p_actor, v_now);
        END IF;
    END LOOP;

    RETURN QUERY
    SELECT
        n.event_id,
        CASE
            WHEN n.event_id <> ALL (v_new) THEN 'repeated'
            WHEN i.rail_ref IS NULL THEN 'unmatched'
            ELSE 'stored'
        END
    FROM unnest(p_notices) WITH ORDINALITY n (event_id, rail_ref, outcome, code, reason, raw, place)
    LEFT JOIN rail.instructions i ON n.rail_ref = i.rail_ref AND i.rail = p_rail
    ORDER BY n.place;
END
$$;
