-- Promises: the time after which nothing of a payout leaves any more that is under way now: a worker sends until send_before, and what
-- is in a file leaves with it: infinity until that has left. One that waits for a file has not left: -infinity, as no file takes it once
-- its payout has ended.
CREATE OR REPLACE FUNCTION rail.sent_by(p_payout payout.payouts)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN coalesce(
        (
            SELECT
                CASE
                    WHEN f.file_id IS NULL THEN '-infinity'
                    WHEN k.sent_at IS NULL THEN 'infinity'
                    ELSE greatest(p_payout.send_before, k.sent_at)
                END
            FROM rail.filed_instructions f
            LEFT JOIN rail.payment_files k ON f.file_id = k.file_id
            WHERE f.merchant_id = p_payout.merchant_id AND f.rail_ref = replace(p_payout.payout_id::text, '-', '')
        ),
        p_payout.send_before
    );
END
$$;
