CREATE OR REPLACE VIEW payrail.reports AS
SELECT
    r.report_id,
    r.rail,
    r.source,
    r.period_from,
    r.period_until,
    r.imported_at,
    r.actor,
    (
        SELECT count(*)
        FROM rail.report_lines l
        WHERE l.report_id = r.report_id
    ) AS lines
FROM rail.reports r;

COMMENT ON VIEW payrail.reports IS 'The banks'' own reports that were imported. A larger report_id is newer.';
