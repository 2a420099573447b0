-- Promises: an event as every client sees it, in lists, streams and webhooks alike: with the payout as it was then, or what else it is
-- about. It says the same whenever it is asked for, byte for byte.
CREATE OR REPLACE FUNCTION payrail.event_json(p_event payrail.events)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_data json := p_event.data;
    v_payout payrail.payouts;
BEGIN
    IF p_event.payout_id IS NOT NULL THEN
        SELECT p.* INTO v_payout
        FROM payrail.payouts p
        WHERE p.merchant_id = p_event.merchant_id AND p.payout_id = p_event.payout_id;
        -- that one is needed may turn out when money comes to what is queued
        IF v_payout.approvals_required > 0 AND NOT EXISTS (
            SELECT
            FROM payrail.payout_history h
            WHERE
                h.merchant_id = p_event.merchant_id
                AND h.payout_id = p_event.payout_id
                AND h.seq <= p_event.payout_version
                AND h.to_status = 'awaiting_approval'
        ) THEN
            v_payout.approvals_required := 0;
        END IF;
        v_data := payrail.payout_json(payrail.payout_at(v_payout, p_event.to_status, p_event.created_at));
    END IF;
    RETURN row_to_json(r)
    FROM (
        SELECT
            p_event.event_id AS id,
            p_event.type AS type,
            payrail.utc(p_event.created_at) AS timestamp,
            p_event.seq AS number,
            p_event.payout_version AS sequence,
            v_data AS data
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.event_json IS
'An event as clients see it: number counts a merchant''s events, sequence those of one payout. Amounts in minor units, times in UTC.';
