-- Promises: the movements of a merchant's money in one currency after one number of the ledger up to another, in their order, at most
-- p_limit (10000) of them: after the last one's number comes the next page. change is what a movement did to the available balance;
-- available and held are the balances after it. Minor units.
CREATE OR REPLACE FUNCTION payrail.statement_lines(
    p_merchant_id uuid, p_currency text, p_after_seq bigint, p_last_seq bigint, p_limit integer DEFAULT 1000
)
RETURNS TABLE (
    seq bigint,
    created_at text,
    kind text,
    payout_id uuid,
    reference text,
    utr text,
    amount bigint,
    change bigint,
    available bigint,
    held bigint
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        e.seq,
        payrail.utc(e.created_at),
        e.kind,
        e.payout_id,
        coalesce(e.reference, p.reference)::text,
        p.utr::text,
        e.amount::bigint,
        k.available_sign * e.amount,
        e.available::bigint,
        e.held::bigint
    FROM (
        SELECT n.*
        FROM ledger.entries n
        WHERE n.merchant_id = p_merchant_id AND n.currency = p_currency AND n.seq > p_after_seq AND n.seq <= p_last_seq
        ORDER BY n.seq
        LIMIT least(p_limit, 10000)
    ) e
    INNER JOIN ledger.kinds k ON e.kind = k.kind
    LEFT JOIN payout.payouts p ON p.merchant_id = p_merchant_id AND p.payout_id = e.payout_id
    ORDER BY e.seq;
END
$$;

COMMENT ON FUNCTION payrail.statement_lines IS
'The lines of a statement: movements of one currency after number p_after_seq up to p_last_seq, what each changed of the available
balance, and both balances after it, in minor units.';
