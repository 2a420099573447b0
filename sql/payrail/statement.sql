-- Promises: the balances of a merchant in one currency before the first of some days (UTC) and after the last of them, and between
-- which entries of the ledger those days lie: the lines of the statement are those after after_seq up to last_seq
-- (payrail.statement_lines), whatever is written meanwhile. An entry is there from its commit on, moments after its time.
-- Raises: PR102 no such currency, PR111 a day is missing, or the days are in the wrong order.
CREATE OR REPLACE FUNCTION payrail.statement(p_merchant_id uuid, p_from date, p_until date, p_currency text DEFAULT 'INR')
RETURNS TABLE (
    currency text,
    opening_at timestamptz,
    opening_available bigint,
    opening_held bigint,
    closing_at timestamptz,
    closing_available bigint,
    closing_held bigint,
    after_seq bigint,
    last_seq bigint
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_from timestamptz := p_from::timestamp AT TIME ZONE 'UTC';
    v_until timestamptz := (p_until + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF (p_from <= p_until) IS NOT TRUE THEN
        RAISE EXCEPTION 'the last day is before the first' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'until');
    END IF;
    IF NOT EXISTS (SELECT FROM ledger.currencies c WHERE c.currency = p_currency) THEN
        RAISE EXCEPTION 'currency must be the ISO 4217 code of a supported currency, such as INR'
            USING ERRCODE = 'PR102', DETAIL = json_build_object('field', 'currency');
    END IF;
    RETURN QUERY
    SELECT
        p_currency,
        v_from,
        coalesce(o.available, 0)::bigint,
        coalesce(o.held, 0)::bigint,
        greatest(v_from, least(v_until, clock_timestamp())),
        coalesce(c.available, 0)::bigint,
        coalesce(c.held, 0)::bigint,
        coalesce(o.seq, 0),
        coalesce(c.seq, 0)
    FROM (SELECT) one
    -- what happened at midnight belongs to the day that begins
    LEFT JOIN LATERAL ledger.position_at(
        p_merchant_id => p_merchant_id, p_currency => p_currency, p_at => v_from - INTERVAL '1 microsecond'
    ) o ON TRUE
    LEFT JOIN LATERAL ledger.position_at(
        p_merchant_id => p_merchant_id, p_currency => p_currency, p_at => v_until - INTERVAL '1 microsecond'
    ) c ON TRUE;
END
$$;

COMMENT ON FUNCTION payrail.statement IS
'A statement of some days (UTC, the last one included) in one currency: the balances before and after, in minor units. Its lines are
payrail.statement_lines with the same currency, after_seq and last_seq.';
