-- Promises: how many payouts are under way, by status: how many of those the bank left unanswered, and for how long the oldest due one
-- has waited (0 when nothing is due). Only open payouts are read.
CREATE OR REPLACE FUNCTION payrail.open_payouts()
RETURNS TABLE (status text, payouts bigint, unanswered bigint, overdue_seconds double precision)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.due_merchants
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT
        s.status,
        count(p.payout_id),
        count(p.unknown_reason),
        greatest(extract(EPOCH FROM clock_timestamp() - min(p.next_action_at)), 0)::double precision
    FROM unnest(ARRAY['pending', 'processing', 'awaiting_approval', 'scheduled', 'queued']) s (status)
    LEFT JOIN payout.payouts p ON s.status = p.status AND p.next_action_at IS NOT NULL
    GROUP BY s.status;
END
$$;

COMMENT ON FUNCTION payrail.open_payouts IS
'Payouts under way by status, how many of them the bank left unanswered, and how many seconds the oldest due one has waited.';
