-- Promises: the rails to which nothing new may be sent at p_now: those whose breaker is open. One claim after each pause is the trial:
-- for it the rail is not shut, and the next trial is ten seconds away. A worker that has no access to a rail leaves its trial to others.
-- Lock: expects the merchant's; a failing rail's row, last.
CREATE OR REPLACE FUNCTION rail.shut_rails(p_merchant_id uuid, p_rails text[], p_now timestamptz)
RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_tried text[];
BEGIN
    IF NOT EXISTS (SELECT FROM rail.rails r WHERE r.opened_at IS NOT NULL) THEN
        RETURN '{}';
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

    RETURN coalesce(
        (SELECT array_agg(r.rail) FROM rail.rails r WHERE r.opened_at IS NOT NULL AND r.rail <> ALL (v_tried)), '{}'
    );
END
$$;
