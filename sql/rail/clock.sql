-- Promises: the time by which work is due. Tests put another clock here.
CREATE OR REPLACE FUNCTION rail.clock()
RETURNS timestamptz
LANGUAGE sql
VOLATILE
RETURN clock_timestamp();
