-- Promises: what a bank that answers by files has said so far of these references, one answer for each, as payrail.record_answers takes
-- it. Money that was booked counts for more than a word: returned before paid before refused. A booking of another sum than the
-- payout's proves nothing, and nor does a refusal beside it, or one of what has not left.
--   not_found  it is in no file, and waits for none: it can be sent
--   pending    it waits for a file, or the bank has said nothing final
CREATE OR REPLACE FUNCTION payrail.ask_files(p_rail text, p_rail_refs text[])
RETURNS TABLE (rail_ref text, outcome text, code text, utr text, reason text, raw jsonb)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        r.rail_ref,
        CASE
            WHEN n.rank = 3 OR n.outcome = 'refused' AND k.sent_at IS NULL THEN 'unknown'
            WHEN n.rank IS NOT NULL THEN n.outcome
            WHEN f.rail_ref IS NULL THEN 'not_found'
            ELSE 'pending'
        END,
        n.code,
        CASE n.outcome
            WHEN 'paid' THEN n.code
            WHEN 'returned' THEN coalesce(
                (
                    SELECT w.code
                    FROM rail.notices w
                    WHERE w.rail = p_rail AND w.rail_ref = r.rail_ref AND w.file_id IS NOT NULL AND w.outcome = 'paid'
                    ORDER BY w.received_at
                    LIMIT 1
                ),
                n.raw ->> 'utr'
            )
        END,
        CASE
            WHEN n.rank = 3 THEN 'the bank has booked another sum: ' || coalesce(n.raw ->> 'amount', '?') || ' '
                || coalesce(n.raw ->> 'currency', '?') || ' (minor units)'
            WHEN n.outcome = 'refused' AND k.sent_at IS NULL THEN 'the bank refuses what has not left yet'
            WHEN n.rank IS NOT NULL THEN n.reason
            WHEN f.rail_ref IS NULL THEN 'it is in no file'
            WHEN f.file_id IS NULL THEN 'it waits for the next file'
            WHEN k.sent_at IS NULL THEN 'it is in the file ' || k.message_id || ', which has not left yet'
            ELSE 'it left in the file ' || k.message_id || ', and the bank has not answered'
        END,
        coalesce(n.raw, jsonb_build_object('file', k.message_id, 'sent_at', payrail.utc(k.sent_at)))
    FROM unnest(p_rail_refs) r (rail_ref)
    LEFT JOIN rail.filed_instructions f ON r.rail_ref = f.rail_ref AND f.rail = p_rail
    LEFT JOIN rail.payment_files k ON f.file_id = k.file_id
    LEFT JOIN rail.instructions i ON r.rail_ref = i.rail_ref AND i.rail = p_rail
    LEFT JOIN payout.payouts p ON i.merchant_id = p.merchant_id AND i.payout_id = p.payout_id
    LEFT JOIN LATERAL (
        SELECT
            s.*,
            CASE
                WHEN s.outcome IN ('paid', 'returned') AND NOT rail.is_of_sum(s.raw, p.amount, p.currency) THEN 3
                WHEN s.outcome = 'returned' THEN 1
                WHEN s.outcome = 'paid' THEN 2
                WHEN s.outcome = 'refused' THEN 4
                ELSE 5
            END AS rank
        FROM rail.notices s
        WHERE s.rail = p_rail AND s.rail_ref = r.rail_ref AND s.file_id IS NOT NULL
        ORDER BY
            rank,
            CASE WHEN s.outcome IN ('pending', 'unknown') THEN s.received_at END DESC NULLS LAST,
            s.received_at
        LIMIT 1
    ) n ON TRUE;
END
$$;

COMMENT ON FUNCTION payrail.ask_files IS
'Returns what the files of a bank have said of these references so far, one row for each: paid, refused, returned, pending, unknown or
not_found.';
