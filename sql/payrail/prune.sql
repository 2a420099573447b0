-- Promises: what nobody needs any more is removed, the oldest first and at most p_limit rows of each kind, and how many went is returned.
-- It is this: the stored answer of a rejected request after 24 hours, which frees its key; an attempt to deliver a webhook after 30
-- days, and with its last attempt a delivery that has ended; sessions that are over, and tries to sign in to the console that count no
-- more. Not what proves anything: money, payouts and their events, accepted keys, and what banks and people have said stay for ever, and
-- the triggers that refuse a change refuse to remove anything else, or any sooner, whoever asks.
-- Lock: of what it removes, and none that it would wait for: what somebody else has locked is left for the next time. Not the merchants'.
-- Raises: PR111 a limit out of bounds.
CREATE OR REPLACE FUNCTION payrail.prune(p_limit integer DEFAULT 1000)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- as payrail.due_merchants
SET enable_seqscan = off
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_attempt record;
    v_gone bigint;
    v_all bigint := 0;
BEGIN
    IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'limit', 'minimum', 1, 'maximum', 10000);
    END IF;

    DELETE FROM payout.idempotency_keys k
    WHERE k.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM payout.idempotency_keys o
        WHERE o.payout_id IS NULL AND o.status <> 201 AND o.created_at < v_now - INTERVAL '24 hours'
        ORDER BY o.created_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;

    -- with their deliveries locked: none of those may become another's while its last attempt goes
    FOR v_attempt IN
        DELETE FROM webhook.attempts a
        WHERE a.ctid = ANY (ARRAY(
            SELECT o.ctid
            FROM webhook.attempts o
            INNER JOIN webhook.deliveries d
                ON o.merchant_id = d.merchant_id AND o.endpoint_id = d.endpoint_id AND o.seq = d.seq
            WHERE o.attempted_at < v_now - INTERVAL '30 days'
            ORDER BY o.attempted_at
            LIMIT p_limit
            FOR UPDATE SKIP LOCKED
        ))
        RETURNING a.merchant_id, a.endpoint_id, a.seq
    LOOP
        v_all := v_all + 1;
        DELETE FROM webhook.deliveries d
        WHERE
            d.merchant_id = v_attempt.merchant_id
            AND d.endpoint_id = v_attempt.endpoint_id
            AND d.seq = v_attempt.seq
            AND d.status <> 'pending'
            AND d.first_attempt_at < v_now - INTERVAL '29 days'
            AND NOT EXISTS (
                SELECT
                FROM webhook.attempts o
                WHERE o.merchant_id = d.merchant_id AND o.endpoint_id = d.endpoint_id AND o.seq = d.seq
            );
        GET DIAGNOSTICS v_gone = ROW_COUNT;
        v_all := v_all + v_gone;
    END LOOP;

    DELETE FROM merchant.sessions s
    WHERE s.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM merchant.sessions o
        WHERE o.expires_at < v_now
        ORDER BY o.expires_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;

    -- few, and without an index
    DELETE FROM merchant.operator_sessions s
    WHERE s.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM merchant.operator_sessions o
        WHERE o.created_at < v_now - INTERVAL '12 hours' OR o.seen_at < v_now - INTERVAL '30 minutes'
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;

    DELETE FROM merchant.operator_tries t
    WHERE t.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM merchant.operator_tries o
        WHERE o.since < v_now - INTERVAL '10 minutes'
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_all + v_gone;
END
$$;

COMMENT ON FUNCTION payrail.prune IS
'Removes what nobody needs any more, at most p_limit rows of each kind, and returns how many: answers of requests that were rejected a day
ago, attempts to deliver webhooks 30 days ago with the deliveries that have ended, and sessions that are over. p_limit: 1 to 10,000.';
