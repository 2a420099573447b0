-- Promises: a case that asked what became of a payout is closed when the bank has told; one from the bank's books, when what it has told
-- is what it has booked. If it has told otherwise, people have to find out.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.close_answered_cases(
    p_merchant_id uuid, p_payout_id uuid, p_outcome text, p_actor text, p_now timestamptz
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE rail.cases c
    SET
        closed_at = p_now,
        closed_by = p_actor,
        resolution = 'The bank has answered: ' || p_outcome || '.'
    WHERE
        c.merchant_id = p_merchant_id
        AND c.payout_id = p_payout_id
        AND c.closed_at IS NULL
        AND (
            c.kind = 'outcome_unknown'
            OR c.kind = 'different_outcome' AND EXISTS (
                SELECT
                FROM rail.report_lines l
                INNER JOIN payout.payouts p ON p.merchant_id = p_merchant_id AND p.payout_id = p_payout_id
                WHERE
                    l.report_id = c.report_id
                    AND l.rail_ref = c.rail_ref
                    AND l.kind = c.booking
                    AND CASE l.kind WHEN 'payment' THEN p.utr = coalesce(l.utr, p.utr) ELSE p.status = 'returned' END
            )
        );
END
$$;
