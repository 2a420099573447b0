-- Promises: whether the bank has told of a reference by itself, by a callback, a file or a report: then it was sent, whatever a worker
-- says.
CREATE OR REPLACE FUNCTION rail.is_told_of(p_rail text, p_rail_ref text)
RETURNS boolean
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM rail.notices n WHERE n.rail = p_rail AND n.rail_ref = p_rail_ref)
        OR EXISTS (
            SELECT
            FROM rail.report_lines l
            INNER JOIN rail.reports r ON l.report_id = r.report_id
            WHERE l.rail_ref = p_rail_ref AND r.rail = p_rail
        );
END
$$;
