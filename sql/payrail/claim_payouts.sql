-- Promises: the due payouts of one merchant, each handed to one worker for the length of its lease. A pending one
-- becomes processing and is to be submitted; one already processing has an unknown outcome and is to be enquired
-- about. Nothing may be sent after send_before, which leaves half the lease for the bank to answer.
-- Lock: the merchant's.
-- Raises: PR111 a limit or lease out of bounds, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.claim_payouts(
    p_merchant_id uuid, p_limit integer DEFAULT 100, p_lease interval DEFAULT '30 seconds', p_actor text DEFAULT NULL
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
    holder_name text,
    attempts integer,
    send_before timestamptz
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- before the first ANALYZE, and with a plan kept from before it, every payout would be read to find the few that are due
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_now timestamptz;
BEGIN
    IF coalesce(p_limit, 0) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'limit', 'minimum', 1, 'maximum', 1000);
    END IF;
    IF coalesce(p_lease, '0') NOT BETWEEN INTERVAL '1 second' AND INTERVAL '1 hour' THEN
        RAISE EXCEPTION 'argument out of bounds'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'lease', 'minimum', '1 second', 'maximum', '1 hour');
    END IF;
    v_now := merchant.lock_merchant(p_merchant_id);

    RETURN QUERY
    WITH due AS (
        SELECT d.payout_id, d.status AS from_status
        FROM payout.payouts d
        WHERE d.merchant_id = p_merchant_id AND d.next_action_at <= v_now
        ORDER BY d.next_action_at
        LIMIT p_limit
    ),

    claimed AS (
        UPDATE payout.payouts p
        SET
            status = 'processing',
            attempts = p.attempts + 1,
            send_before = v_now + p_lease / 2,
            next_action_at = v_now + p_lease,
            actor = CASE due.from_status WHEN 'pending' THEN payrail.actor(p_actor) ELSE p.actor END
        FROM due
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = due.payout_id
        RETURNING p.*, due.from_status
    )

    SELECT
        c.payout_id,
        CASE c.from_status WHEN 'pending' THEN 'submit' ELSE 'enquire' END,
        b.rail,
        c.rail_ref,
        c.amount::bigint,
        c.currency,
        b.account_number,
        b.ifsc,
        b.holder_name,
        c.attempts,
        c.send_before
    FROM claimed c
    INNER JOIN merchant.bank_accounts b ON b.merchant_id = p_merchant_id AND c.bank_account_id = b.bank_account_id
    ORDER BY c.payout_id;
END
$$;

COMMENT ON FUNCTION payrail.claim_payouts IS
'Hands the due payouts of a merchant to a worker for the length of a lease: action is submit (now processing) or enquire
(outcome unknown so far). The account number is in full, for the rail. Amounts in minor units.';
