-- Promises: the mode by which a bank pays this: the one that was asked for; or of those that can, the first by rank that is open, or
-- else the one that opens first. Also why, from when on it can be sent, and its fee: the only place that computes one. No row if none can.
-- A NULL mode, and no fee, if its bank says nothing of such payments, and none was asked for.
CREATE OR REPLACE FUNCTION rail.choose_mode(p_rail text, p_kind text, p_currency text, p_amount bigint, p_asked text, p_now timestamptz)
RETURNS TABLE (mode text, reason text, opens_at timestamptz, fee bigint)
LANGUAGE sql
STABLE
AS $$
SELECT
    c.mode,
    CASE
        WHEN c.mode IS NULL THEN NULL
        WHEN p_asked IS NOT NULL THEN 'asked for'
        WHEN c.opens_at = p_now THEN 'the first of its bank''s that is open and takes this amount'
        ELSE 'the first of its bank''s to open that takes this amount'
    END,
    c.opens_at,
    coalesce(
        (
            -- numeric, which is exact and has room; halves are rounded up
            SELECT f.fixed + round(p_amount::numeric * f.basis_points * 0.0001)::bigint
            FROM rail.fees f
            WHERE f.rail = p_rail AND f.mode = c.mode AND f.currency = p_currency AND f.amount_from <= p_amount
            ORDER BY f.amount_from DESC
            LIMIT 1
        ), 0
    )
FROM (
    SELECT
        o.mode,
        o.opens_at
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
        UNION ALL
        SELECT
            NULL,
            0,
            p_now
        WHERE
            p_asked IS NULL
            AND NOT EXISTS (
                SELECT FROM rail.modes m WHERE m.rail = p_rail AND m.currency = p_currency AND p_kind = ANY (m.accounts)
            )
    ) o
    WHERE o.opens_at IS NOT NULL
    ORDER BY o.opens_at, o.rank, o.mode
    LIMIT 1
) c;
$$;
