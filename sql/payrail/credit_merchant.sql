-- Promises: money that arrived for a merchant is available, and an event and a row in the log of actions say so, once per
-- reference: repeated, the first entry again. With it, what waits in the queue goes on that can be had, oldest first.
-- Lock: the merchant's.
-- Raises: PR101, PR102, PR104, PR203 the reference was used for another sum, PR302 the balance would pass 10^18,
-- PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.credit_merchant(
    p_merchant_id uuid, p_amount bigint, p_currency text, p_reference text, p_actor text DEFAULT NULL
)
RETURNS SETOF payrail.ledger_entries
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_entry ledger.entries;
BEGIN
    IF p_amount IS NULL OR p_amount NOT BETWEEN 1 AND 1000000000000000 THEN
        RAISE EXCEPTION 'amount must be a whole number of minor units, 1 to 10^15'
            USING ERRCODE = 'PR101', DETAIL = json_build_object('field', 'amount', 'minimum', 1, 'maximum', 1000000000000000);
    END IF;
    IF NOT EXISTS (SELECT FROM ledger.currencies c WHERE c.currency = p_currency) THEN
        RAISE EXCEPTION 'currency must be the ISO 4217 code of a supported currency, such as INR'
            USING ERRCODE = 'PR102', DETAIL = json_build_object('field', 'currency');
    END IF;
    IF length(p_reference) BETWEEN 1 AND 255 IS NOT TRUE OR p_reference ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'reference must be 1 to 255 characters without control characters'
            USING ERRCODE = 'PR104', DETAIL = json_build_object('field', 'reference');
    END IF;
    PERFORM merchant.lock_merchant(p_merchant_id);

    SELECT e.* INTO v_entry
    FROM ledger.entries e
    WHERE e.merchant_id = p_merchant_id AND e.kind = 'credit' AND e.reference = p_reference;
    IF NOT FOUND THEN
        IF (
            SELECT b.available + b.held + p_amount > 1000000000000000000
            FROM payrail.balances b
            WHERE b.merchant_id = p_merchant_id AND b.currency = p_currency
        ) THEN
            RAISE EXCEPTION 'the balance would pass 10^18 minor units'
                USING ERRCODE = 'PR302', DETAIL = json_build_object('field', 'amount');
        END IF;
        INSERT INTO ledger.entries (merchant_id, currency, kind, amount, reference)
        VALUES (p_merchant_id, p_currency, 'credit', p_amount, p_reference)
        RETURNING * INTO v_entry;
        PERFORM webhook.add_event(
            p_merchant_id,
            'balance.credited',
            (
                SELECT payrail.ledger_entry_json(e)
                FROM payrail.ledger_entries e
                WHERE e.merchant_id = p_merchant_id AND e.currency = v_entry.currency AND e.seq = v_entry.seq
            ),
            payrail.actor(p_actor)
        );
        INSERT INTO merchant.operator_actions (actor, action, merchant_id, object, detail)
        VALUES (
            payrail.actor(p_actor),
            'merchant_credited',
            p_merchant_id,
            p_reference,
            jsonb_build_object('amount', p_amount, 'currency', p_currency)
        );
        IF payout.promote_queued(p_merchant_id, payrail.actor(p_actor), rail.clock()) THEN
            PERFORM rail.wake_worker();
        END IF;
    ELSIF (v_entry.amount, v_entry.currency) <> (p_amount, p_currency) THEN
        RAISE EXCEPTION 'this reference was used for another sum'
            USING ERRCODE = 'PR203', DETAIL = json_build_object(
                'field', 'reference', 'amount', v_entry.amount, 'currency', v_entry.currency, 'seq', v_entry.seq
            );
    END IF;

    RETURN QUERY
    SELECT e.*
    FROM payrail.ledger_entries e
    WHERE e.merchant_id = p_merchant_id AND e.currency = v_entry.currency AND e.seq = v_entry.seq;
END
$$;

COMMENT ON FUNCTION payrail.credit_merchant IS
'Makes money that arrived for a merchant available, once per reference, and lets queued payouts go on. p_amount in minor units, 1 to 10^15;
p_actor is whoever does it, for the log.';
