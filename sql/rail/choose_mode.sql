-- Promises: the mode by which a bank pays this: the one that was asked for; or of those that can, the first by rank that is open, or
-- else the one that opens first. Also why, and from when on it can be sent. No row if none can. A NULL mode if its bank says nothing
-- of such payments, and none was asked for.
CREATE OR REPLACE FUNCTION rail.choose_mode(p_rail text, p_kind text, p_currency text, p_amount bigint, p_asked text, p_now timestamptz)
RETURNS TABLE (mode text, reason text, opens_at timestamptz)
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN QUERY
    SELECT
        c.mode,
        CASE
            WHEN p_asked IS NOT NULL THEN 'asked for'
            WHEN c.opens_at = p_now THEN 'the first of its bank''s that is open and takes this amount'
            ELSE 'the first of its bank''s to open that takes this amount'
        END,
        c.opens_at
    FROM (
        SELECT
            m.mode,
            m.rank,
            CASE WHEN (m.opens, m.days, m.calendar) IS NULL THEN p_now ELSE rail.opens_at(m, p_now) END AS opens_at
        FROM rail.modes m
        WHERE
            m.rail = p_rail
            AND m.currency = p_currency
            AND p_kind = ANY (m.accounts)
            AND p_amount BETWEEN m.amount_min AND m.amount_max
            AND m.mode = coalesce(p_asked, m.mode)
    ) c
    WHERE c.opens_at IS NOT NULL
    ORDER BY c.opens_at, c.rank, c.mode
    LIMIT 1;
    IF NOT FOUND AND p_asked IS NULL THEN
        RETURN QUERY
        SELECT
            NULL::text,
            NULL::text,
            p_now
        WHERE NOT EXISTS (
            SELECT FROM rail.modes m WHERE m.rail = p_rail AND m.currency = p_currency AND p_kind = ANY (m.accounts)
        );
    END IF;
END
$$;
