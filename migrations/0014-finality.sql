-- When a bank is final is told of a payout, and no longer of a time: what leaves in a file leaves later than a worker takes it. And what
-- people have decided of one of a bank's bookings stays decided.
-- depends: 0013-modes
DROP FUNCTION IF EXISTS rail.is_final(uuid, text, timestamptz, timestamptz);
DROP FUNCTION IF EXISTS rail.open_case(text, text, text, uuid, uuid, bigint, text, text, uuid);
DROP FUNCTION IF EXISTS payrail.receive_file(text, text, bytea, text, text, payrail.notice[], payrail.notice[], text);

CREATE INDEX cases_decided ON rail.cases (rail, booking, coalesce(rail_ref, ''))
WHERE closed_at IS NOT NULL;
