-- Promises: a bank's report is kept once, and compared with our books: each difference becomes a case that stays open until it is
-- resolved, once and for all; where the bank says more than we know, it is asked; what was thought never to have left, and is booked, is
-- not sent. A payout that was missing in a report before and is in this one is missing no more. The same content again changes nothing.
-- Lock: that of ANALYZE, so one import compares at a time; at the end the merchants' of differing payouts, in the order of their ids.
-- Raises: PR111 no such rail, a period that ends before it begins, or a malformed line.
CREATE OR REPLACE FUNCTION payrail.import_report(
    p_rail text,
    p_source text,
    p_content_hash bytea,
    p_from timestamptz,
    p_until timestamptz,
    p_lines payrail.report_line[],
    p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.reports
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text;
    v_report_id uuid;
    v_now timestamptz := rail.clock();
    v_merchant_ids uuid[];
    v_payout_ids uuid[];
    v_merchant_id uuid;
    v_unclear uuid[];
    v_found uuid[];
BEGIN
    v_field := CASE
        WHEN NOT EXISTS (SELECT FROM rail.rails r WHERE r.rail = p_rail) THEN 'rail'
        WHEN length(p_source) BETWEEN 1 AND 255 IS NOT TRUE THEN 'source'
        WHEN octet_length(p_content_hash) = 32 IS NOT TRUE THEN 'content_hash'
        WHEN (p_from < p_until) IS NOT TRUE THEN 'until'
        WHEN p_lines IS NULL THEN 'lines'
        ELSE (
            SELECT w.field
            FROM (
                SELECT
                    l.place,
                    CASE
                        WHEN l.kind IN ('payment', 'return') IS NOT TRUE THEN 'lines/' || l.place || '/kind'
                        WHEN l.amount BETWEEN 1 AND 1000000000000000 IS NOT TRUE THEN 'lines/' || l.place || '/amount'
                        WHEN l.currency ~ '^[A-Z]{3}$' IS NOT TRUE THEN 'lines/' || l.place || '/currency'
                        WHEN length(l.entry_ref) > 255 THEN 'lines/' || l.place || '/entry_ref'
                        WHEN length(l.rail_ref) > 255 THEN 'lines/' || l.place || '/rail_ref'
                        WHEN length(l.utr) > 255 THEN 'lines/' || l.place || '/utr'
                        WHEN length(l.code) > 255 THEN 'lines/' || l.place || '/code'
                    END AS field
                FROM unnest(p_lines) WITH ORDINALITY
                    l (entry_ref, rail_ref, kind, amount, currency, utr, code, booked_at, place)
            ) w
            WHERE w.field IS NOT NULL
            ORDER BY w.place
            LIMIT 1
        )
    END;
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;

    INSERT INTO rail.reports AS r (rail, source, content_hash, period_from, period_until, actor)
    VALUES (p_rail, p_source, p_content_hash, p_from, p_until, payrail.actor(p_actor))
    ON CONFLICT DO NOTHING
    RETURNING r.report_id INTO v_report_id;
    IF NOT FOUND THEN
        RETURN QUERY
        SELECT o.*
        FROM payrail.reports o
        INNER JOIN rail.reports r ON o.report_id = r.report_id
        WHERE r.rail = p_rail AND r.content_hash = p_content_hash;
        RETURN;
    END IF;
    INSERT INTO rail.report_lines (report_id, line, entry_ref, rail_ref, kind, amount, currency, utr, code, booked_at)
    SELECT v_report_id, l.place, l.entry_ref, l.rail_ref, l.kind, l.amount, l.currency, l.utr, l.code, l.booked_at
    FROM unnest(p_lines) WITH ORDINALITY l (entry_ref, rail_ref, kind, amount, currency, utr, code, booked_at, place);

    -- to compare with a plan for this many lines; and its lock lasts until the commit: of two reports at once the later one sees the
    -- other's lines, and closes what that one called missing
    ANALYZE rail.report_lines;

    WITH differences AS MATERIALIZED (
        SELECT
            d.*,
            CASE d.result
                WHEN 'missing_at_bank'
                    THEN 'The payout is ' || d.status || ', and no report of the bank has its ' || d.kind || '.'
                WHEN 'unknown_to_us'
                    THEN 'The bank has booked a ' || d.kind || ' that was never sent' || coalesce(' (' || d.bank_utr || ').', '.')
                WHEN 'booked_twice'
                    THEN 'The bank has booked the ' || d.kind || ' more than once' || coalesce(' (' || d.bank_utr || ').', '.')
                WHEN 'different_amount'
                    THEN 'The bank has booked a ' || d.kind || ' of another amount than the payout''s.'
                ELSE 'The payout is ' || d.status || coalesce(' (' || d.utr || ')', '') || ', and the bank has booked a '
                    || d.kind || coalesce(' (' || d.bank_utr || ').', '.')
            END AS detail
        FROM payrail.reconciliation(v_report_id) d
        WHERE d.result <> 'matched'
    ),

    opened AS (
        INSERT INTO rail.cases (
            kind, rail, rail_ref, merchant_id, payout_id, report_id, booking, amount, currency, detail, opened_at
        )
        SELECT
            d.result,
            p_rail,
            d.rail_ref,
            d.merchant_id,
            d.payout_id,
            v_report_id,
            d.booking,
            coalesce(d.bank_amount, d.amount),
            coalesce(d.bank_currency, d.currency),
            d.detail,
            v_now
        FROM differences d
        WHERE NOT rail.is_decided(p_rail, d.rail_ref, d.result, d.booking, coalesce(d.bank_amount, d.amount), d.detail)
        ORDER BY d.line, d.rail_ref
        ON CONFLICT DO NOTHING
    )

    SELECT
        array_agg(d.merchant_id),
        array_agg(d.payout_id)
    INTO v_merchant_ids, v_payout_ids
    FROM differences d
    WHERE d.result = 'different_outcome' OR d.line IS NOT NULL AND d.status = 'pending';

    FOR v_merchant_id, v_unclear, v_found IN
        SELECT
            w.merchant_id,
            array_agg(w.payout_id),
            array_agg(w.case_id)
        FROM (
            SELECT
                u.merchant_id,
                u.payout_id,
                NULL::uuid AS case_id
            FROM unnest(v_merchant_ids, v_payout_ids) u (merchant_id, payout_id)
            UNION ALL
            SELECT
                c.merchant_id,
                NULL,
                c.case_id
            FROM rail.cases c
            INNER JOIN rail.report_lines l ON c.rail_ref = l.rail_ref AND c.booking = l.kind
            WHERE c.kind = 'missing_at_bank' AND c.rail = p_rail AND c.closed_at IS NULL AND l.report_id = v_report_id
        ) w
        GROUP BY w.merchant_id
        ORDER BY w.merchant_id
    LOOP
        PERFORM merchant.lock_merchant(v_merchant_id);
        PERFORM rail.ask_bank(v_merchant_id, v_unclear, payrail.actor(p_actor), v_now);
        UPDATE rail.cases c
        SET
            closed_at = v_now,
            closed_by = payrail.actor(p_actor),
            resolution = 'A later report of the bank has it.'
        WHERE c.case_id = ANY (v_found) AND c.closed_at IS NULL;
    END LOOP;

    RETURN QUERY
    SELECT o.*
    FROM payrail.reports o
    WHERE o.report_id = v_report_id;
END
$$;

COMMENT ON FUNCTION payrail.import_report IS
'Imports a bank''s report of what it booked from p_from until before p_until (content_hash: SHA-256 of the file) and compares it with our
books: see payrail.reconciliation and payrail.cases. Amounts in minor units. The same file again changes nothing.';
