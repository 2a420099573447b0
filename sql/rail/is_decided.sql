-- Promises: whether two operators have closed a case of the same booking of a bank, with the same sum: a report that tells of it again
-- tells nothing new. Of a different outcome it has to say the same, as the payout may have gone on.
CREATE OR REPLACE FUNCTION rail.is_decided(
    p_rail text, p_rail_ref text, p_kind text, p_booking text, p_amount bigint, p_detail text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM rail.cases c
        INNER JOIN rail.proposals o ON c.case_id = o.case_id AND o.decision = 'confirmed'
        WHERE
            c.rail = p_rail
            AND c.booking = p_booking
            AND coalesce(c.rail_ref, '') = coalesce(p_rail_ref, '')
            AND c.kind = p_kind
            AND c.amount IS NOT DISTINCT FROM p_amount
            AND (c.kind <> 'different_outcome' OR c.detail = p_detail)
            AND c.closed_at IS NOT NULL
    );
END
$$;
