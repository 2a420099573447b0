CREATE OR REPLACE VIEW payrail.holidays AS
SELECT
    h.calendar,
    h.day,
    h.name
FROM rail.holidays h;

COMMENT ON VIEW payrail.holidays IS 'Days on which modes with this calendar do not open.';
