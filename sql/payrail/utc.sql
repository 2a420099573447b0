-- Promises: an instant as RFC 3339 in UTC with microseconds, whatever the session's time zone.
CREATE OR REPLACE FUNCTION payrail.utc(p_instant timestamptz)
RETURNS text
LANGUAGE sql
STABLE
RETURN to_char(p_instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

COMMENT ON FUNCTION payrail.utc IS 'An instant as RFC 3339 in UTC with microseconds.';
