-- Promises: a bank's report against our books, one row per line and one per payout that the bank should have booked in the period and has
-- not, in this report or another: matched, unknown_to_us, booked_twice, different_amount, different_outcome or missing_at_bank.
CREATE OR REPLACE FUNCTION payrail.reconciliation(p_report_id uuid)
RETURNS TABLE (
    result text, line integer, kind text, entry_ref text, rail_ref text, merchant_id uuid, payout_id uuid, status text,
    amount bigint, currency text, utr text, bank_amount bigint, bank_currency text, bank_utr text, booking text
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- with statistics from before the first report, all of it would be compared with all of it
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_report rail.reports;
BEGIN
    SELECT r.* INTO v_report
    FROM rail.reports r
    WHERE r.report_id = p_report_id;

    RETURN QUERY
    SELECT
        CASE
            WHEN p.payout_id IS NULL THEN 'unknown_to_us'
            WHEN a.known_otherwise OR row_number() OVER (
                PARTITION BY l.rail_ref, l.kind
                ORDER BY a.known_otherwise, (l.utr = p.utr) DESC NULLS LAST, l.line
            ) > 1 THEN 'booked_twice'
            WHEN (p.amount, p.currency) IS DISTINCT FROM (l.amount, l.currency) THEN 'different_amount'
            WHEN l.kind = 'payment' AND (p.status NOT IN ('settled', 'returned') OR p.utr <> l.utr) THEN 'different_outcome'
            WHEN l.kind = 'return' AND p.status <> 'returned' THEN 'different_outcome'
            ELSE 'matched'
        END,
        l.line,
        l.kind,
        l.entry_ref,
        l.rail_ref,
        p.merchant_id,
        p.payout_id,
        p.status::text,
        p.amount::bigint,
        p.currency,
        p.utr::text,
        l.amount::bigint,
        l.currency,
        l.utr,
        -- which booking a case is about: ours by its kind, one that we do not have by the bank's own words
        CASE
            WHEN p.payout_id IS NULL OR a.known_otherwise OR row_number() OVER (
                PARTITION BY l.rail_ref, l.kind
                ORDER BY a.known_otherwise, (l.utr = p.utr) DESC NULLS LAST, l.line
            ) > 1 THEN coalesce(l.entry_ref, l.utr, p_report_id || '/' || l.line)
            ELSE l.kind
        END
    FROM rail.report_lines l
    LEFT JOIN rail.instructions i ON l.rail_ref = i.rail_ref AND i.rail = v_report.rail
    LEFT JOIN payout.payouts p ON i.merchant_id = p.merchant_id AND i.payout_id = p.payout_id
    -- an earlier report has it as another entry of the bank's; the same entry may be in reports that overlap
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(o.entry_ref <> l.entry_ref) AND NOT bool_or(o.entry_ref = l.entry_ref), FALSE) AS known_otherwise
        FROM rail.report_lines o
        INNER JOIN rail.reports q ON o.report_id = q.report_id
        WHERE o.rail_ref = l.rail_ref AND o.kind = l.kind AND o.report_id < p_report_id AND q.rail = v_report.rail
    ) a
    WHERE l.report_id = p_report_id
    UNION ALL
    SELECT
        'missing_at_bank',
        NULL,
        CASE e.to_status WHEN 'settled' THEN 'payment' ELSE 'return' END,
        NULL,
        p.rail_ref,
        p.merchant_id,
        p.payout_id,
        p.status::text,
        p.amount::bigint,
        p.currency,
        p.utr::text,
        NULL,
        NULL,
        NULL,
        CASE e.to_status WHEN 'settled' THEN 'payment' ELSE 'return' END
    FROM webhook.events e
    INNER JOIN payout.payouts p ON e.merchant_id = p.merchant_id AND e.payout_id = p.payout_id
    INNER JOIN merchant.bank_accounts b ON p.merchant_id = b.merchant_id AND p.bank_account_id = b.bank_account_id
    WHERE
        e.created_at >= v_report.period_from
        AND e.created_at < v_report.period_until
        AND e.to_status IN ('settled', 'returned')
        AND b.rail = v_report.rail
        AND NOT EXISTS (
            SELECT
            FROM rail.report_lines l
            WHERE
                l.rail_ref = p.rail_ref
                AND l.kind = CASE e.to_status WHEN 'settled' THEN 'payment' ELSE 'return' END
                AND (SELECT o.rail FROM rail.reports o WHERE o.report_id = l.report_id) = v_report.rail
        )
    ORDER BY 2, 5;
END
$$;

COMMENT ON FUNCTION payrail.reconciliation IS
'A bank''s report against our books: result is matched, unknown_to_us, booked_twice, different_amount, different_outcome or
missing_at_bank. Amounts in minor units.';
