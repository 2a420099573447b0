CREATE OR REPLACE VIEW payrail.notices AS
SELECT
    n.rail,
    n.event_id,
    n.rail_ref,
    n.outcome,
    n.code,
    n.reason,
    n.raw,
    n.received_at
FROM rail.notices n;

COMMENT ON VIEW payrail.notices IS
'What banks said by themselves, by callback or file, once per event. A notice proves nothing: the bank is asked.';
