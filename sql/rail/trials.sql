-- Promises: the rails with an open breaker to which this claim may send one payout: the trial after a pause. The next one is ten seconds
-- away. A worker that has no access to a rail leaves its trial to others. NULL if no breaker is open.
-- Lock: expects the merchant's; a failing rail's row, last.
CREATE OR REPLACE FUNCTION rail.trials(p_merchant_id uuid, p_rails text[], p_now timestamptz)
RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_tried text[];
BEGIN
    IF NOT EXISTS (SELECT FROM rail.rails r WHERE r.opened_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;

    WITH tried AS (
        UPDATE rail.rails r
        SET trial_at = p_now + INTERVAL '10 seconds'
        WHERE r.trial_at <= p_now AND (p_rails IS NULL OR r.rail = ANY (p_rails)) AND EXISTS (
            SELECT
            FROM payout.payouts p
            INNER JOIN merchant.bank_accounts b ON p.merchant_id = b.merchant_id AND p.bank_account_id = b.bank_account_id
            WHERE
                p.merchant_id = p_merchant_id
                AND p.next_action_at <= p_now
                AND b.rail = r.rail
                AND rail.is_to_be_sent(p_merchant_id, p.payout_id, p.status, p.attempts, r.deduplicates_references)
        )
        RETURNING r.rail
    )

    SELECT coalesce(array_agg(t.rail), '{}') INTO v_tried FROM tried t;
    RETURN v_tried;
END
$$;
