CREATE OR REPLACE VIEW payrail.rail_calls AS
SELECT
    c.rail,
    c.minute,
    c.action,
    c.calls,
    c.failed,
    c.instructions,
    c.busy
FROM rail.calls c;

COMMENT ON VIEW payrail.rail_calls IS
'Calls to banks by the minute: how many, how many of them failed, for how many instructions, and how long they took together.';
