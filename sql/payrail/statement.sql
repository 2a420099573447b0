-- Promises: the movements of a merchant's money on some days, in UTC and in their order, a thousand at a time: after the last one's
-- number comes the next page. Amounts are in the currency's own unit, with its digits (ISO 4217).
-- Raises: PR111 a day is missing, or the days are in the wrong order.
CREATE OR REPLACE FUNCTION payrail.statement(
    p_merchant_id uuid, p_from date, p_until date, p_after bigint DEFAULT 0, p_currency text DEFAULT 'INR'
)
RETURNS TABLE (
    seq bigint,
    moved_at text,
    kind text,
    payout_id uuid,
    reference text,
    amount numeric,
    change numeric,
    available numeric,
    held numeric
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (p_from <= p_until) IS NOT TRUE THEN
        RAISE EXCEPTION 'the last day is before the first' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'until');
    END IF;
    RETURN QUERY
    SELECT
        e.seq,
        payrail.utc(e.created_at),
        e.kind,
        e.payout_id,
        coalesce(e.reference, p.reference)::text,
        round(e.amount / u.unit, c.exponent),
        round(k.available_sign * e.amount / u.unit, c.exponent),
        round(e.available / u.unit, c.exponent),
        round(e.held / u.unit, c.exponent)
    FROM ledger.currencies c
    CROSS JOIN LATERAL (SELECT 10::numeric ^ c.exponent AS unit) u
    LEFT JOIN LATERAL ledger.position_at(
        p_merchant_id => p_merchant_id, p_currency => p_currency, p_at => p_from::timestamp AT TIME ZONE 'UTC'
    ) f ON TRUE
    INNER JOIN LATERAL ledger.position_at(
        p_merchant_id => p_merchant_id, p_currency => p_currency, p_at => (p_until + 1)::timestamp AT TIME ZONE 'UTC'
    ) l ON TRUE
    CROSS JOIN LATERAL (
        SELECT n.*
        FROM ledger.entries n
        WHERE
            n.merchant_id = p_merchant_id
            AND n.currency = p_currency
            AND n.seq > greatest(f.seq, p_after)
            AND n.seq <= l.seq
        ORDER BY n.seq
        LIMIT 1000
    ) e
    INNER JOIN ledger.kinds k ON e.kind = k.kind
    LEFT JOIN payout.payouts p ON e.merchant_id = p.merchant_id AND e.payout_id = p.payout_id
    WHERE c.currency = p_currency
    ORDER BY e.seq;
END
$$;

COMMENT ON FUNCTION payrail.statement IS
'The ledger of some days (UTC, the last one included), 1000 movements after number p_after: what each changed of the available balance,
and both balances after it, in the currency''s own unit (rupees, not paise).';
