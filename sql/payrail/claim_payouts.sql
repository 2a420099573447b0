-- Promises: the due payouts of one merchant, each handed to one worker for the length of its lease, and the attempt noted. A pending
-- one becomes processing and is to be submitted; one already sent is to be enquired about, or, if the bank has just said that it
-- never saw the reference and executes none twice, submitted again. Nothing may be sent after send_before, which leaves half the
-- lease for the bank to answer. To a failing bank nothing is sent but one payout as a trial now and then, and by no
-- mode while it is closed. A worker that
-- has access to some banks only says which.
-- Lock: the merchant's.
-- Raises: PR111 a limit or lease out of bounds, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.claim_payouts(
    p_merchant_id uuid, p_limit integer DEFAULT 100, p_lease interval DEFAULT '30 seconds', p_actor text DEFAULT NULL,
    p_rails text[] DEFAULT NULL
)
RETURNS TABLE (
    payout_id uuid,
    action text,
    rail text,
    rail_ref text,
    amount bigint,
    currency text,
    account_number text,
    ifsc text,
    vpa text,
    iban text,
    holder_name text,
    mode text,
    narration text,
    attempt integer,
    send_before timestamptz
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- a plan for all calls, as planning costs more than a claim; from before the first ANALYZE it would read every payout to find the few
-- that are due, by other scans
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_now timestamptz;
    v_tried text[];
    v_closed text[];
    v_opens_at timestamptz[];
    v_waiting record;
BEGIN
    IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'limit', 'minimum', 1, 'maximum', 1000);
    END IF;
    IF coalesce(p_lease, '0') NOT BETWEEN INTERVAL '1 second' AND INTERVAL '1 hour' THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'lease', 'minimum', '1 second', 'maximum', '1 hour');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);
    v_now := rail.clock();
    v_tried := rail.trials(p_merchant_id, p_rails, v_now);

    -- the trial is the oldest of the payouts that were tried least, so that those of which the bank dies do not keep its breaker open
    IF v_tried IS NOT NULL THEN
        UPDATE payout.payouts p
        SET next_action_at = w.next_action_at
        FROM (
            SELECT
                d.ctid AS place,
                CASE WHEN r.rail = ANY (v_tried) THEN v_now + INTERVAL '1 second' ELSE r.trial_at END AS next_action_at,
                r.rail = ANY (v_tried) AND row_number() OVER (PARTITION BY r.rail ORDER BY d.attempts, d.payout_id) = 1 AS is_trial
            FROM payout.payouts d
            INNER JOIN merchant.bank_accounts b ON d.merchant_id = b.merchant_id AND d.bank_account_id = b.bank_account_id
            INNER JOIN rail.rails r ON b.rail = r.rail
            WHERE
                d.merchant_id = p_merchant_id
                AND d.next_action_at <= v_now
                AND r.opened_at IS NOT NULL
                AND rail.is_to_be_sent(p_merchant_id, d.payout_id, d.status, d.attempts, r.deduplicates_references)
        ) w
        WHERE p.merchant_id = p_merchant_id AND p.ctid = w.place AND NOT w.is_trial;
    END IF;

    SELECT
        coalesce(array_agg(concat_ws('/', m.rail, m.mode, m.currency)), '{}'),
        -- a mode that does not open is looked at again tomorrow
        array_agg(coalesce(o.opens_at, v_now + INTERVAL '1 day'))
    INTO v_closed, v_opens_at
    FROM rail.modes m
    CROSS JOIN LATERAL (SELECT rail.opens_at(m, v_now) AS opens_at) o
    WHERE NOT (m.opens, m.days, m.calendar) IS NULL AND o.opens_at IS DISTINCT FROM v_now;
    IF v_closed <> '{}' THEN
        FOR v_waiting IN
            SELECT
                d.payout_id,
                v_opens_at[array_position(v_closed, concat_ws('/', b.rail, d.mode, d.currency))] AS opens_at
            FROM payout.payouts d
            INNER JOIN merchant.bank_accounts b ON d.merchant_id = b.merchant_id AND d.bank_account_id = b.bank_account_id
            WHERE
                d.merchant_id = p_merchant_id
                AND d.status = 'pending'
                AND d.next_action_at <= v_now
                AND d.mode IS NOT NULL
                AND concat_ws('/', b.rail, d.mode, d.currency) = ANY (v_closed)
            LIMIT p_limit
        LOOP
            UPDATE payout.payouts p
            SET
                next_action_at = v_waiting.opens_at,
                mode_opens_at = v_waiting.opens_at
            WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_waiting.payout_id;
        END LOOP;
    END IF;

    RETURN QUERY
    WITH due AS (
        SELECT
            d.payout_id,
            d.place,
            d.status AS from_status,
            d.attempts + 1 AS attempt,
            b.rail,
            b.account_number,
            b.ifsc,
            b.vpa,
            b.iban,
            b.holder_name,
            CASE
                WHEN rail.is_to_be_sent(p_merchant_id, d.payout_id, d.status, d.attempts, r.deduplicates_references) THEN 'submit'
                ELSE 'enquire'
            END AS action
        -- in this order, however little the planner thinks that there is: by the index of what is due, then each one's account by its
        -- key, and then the payout where it was found (ctid; nobody moves it, the merchant is locked)
        FROM (
            SELECT
                q.*,
                q.ctid AS place
            FROM payout.payouts q
            WHERE
                q.merchant_id = p_merchant_id
                AND q.next_action_at <= v_now
                -- payrail.advance_payouts has those
                AND q.status NOT IN ('awaiting_approval', 'scheduled', 'queued')
            ORDER BY q.next_action_at
            OFFSET 0
        ) d
        CROSS JOIN LATERAL (
            SELECT a.*
            FROM merchant.bank_accounts a
            WHERE a.merchant_id = p_merchant_id AND a.bank_account_id = d.bank_account_id
            LIMIT 1
        ) b
        CROSS JOIN LATERAL (
            SELECT l.deduplicates_references
            FROM rail.rails l
            WHERE l.rail = b.rail
            LIMIT 1
        ) r
        WHERE
            (p_rails IS NULL OR b.rail = ANY (p_rails))
            AND (v_closed = '{}' OR d.status <> 'pending' OR d.mode IS NULL OR concat_ws('/', b.rail, d.mode, d.currency) <> ALL (v_closed))
        ORDER BY d.next_action_at
        LIMIT p_limit
    ),

    claimed AS (
        UPDATE payout.payouts p
        SET
            status = CASE due.from_status WHEN 'pending' THEN 'processing' ELSE due.from_status END,
            attempts = due.attempt,
            send_before = CASE due.action WHEN 'submit' THEN v_now + p_lease / 2 ELSE p.send_before END,
            next_action_at = v_now + p_lease,
            actor = CASE due.from_status WHEN 'pending' THEN payrail.actor(p_actor) ELSE p.actor END
        FROM due
        WHERE p.merchant_id = p_merchant_id AND p.ctid = due.place
        RETURNING
            p.payout_id, p.rail_ref, p.amount, p.currency, p.mode, p.narration, p.send_before,
            due.action, due.attempt, due.rail, due.account_number, due.ifsc, due.vpa, due.iban, due.holder_name
    ),

    attempted AS (
        INSERT INTO rail.attempts (merchant_id, payout_id, attempt, claimed_at, send_before, action, rail, actor)
        SELECT
            p_merchant_id,
            c.payout_id,
            c.attempt,
            v_now,
            CASE c.action WHEN 'submit' THEN c.send_before END,
            c.action,
            c.rail,
            payrail.actor(p_actor)
        FROM claimed c
    ),

    instructed AS (
        INSERT INTO rail.instructions (merchant_id, payout_id, rail_ref, rail, instructed_at)
        SELECT p_merchant_id, c.payout_id, c.rail_ref, c.rail, v_now
        FROM claimed c
        WHERE c.action = 'submit'
        ON CONFLICT DO NOTHING
    )

    SELECT
        c.payout_id,
        c.action,
        c.rail,
        c.rail_ref,
        c.amount::bigint,
        c.currency,
        c.account_number,
        c.ifsc,
        c.vpa,
        c.iban,
        c.holder_name,
        c.mode,
        c.narration,
        c.attempt,
        c.send_before
    FROM claimed c
    ORDER BY c.payout_id;
END
$$;

COMMENT ON FUNCTION payrail.claim_payouts IS
'Hands the due payouts of a merchant to a worker for the length of a lease: action is submit (now processing) or enquire
(outcome unknown so far). p_rails: the banks that the worker has access to, all if NULL. Accounts are in full, for the rail. Amounts in minor units.';
