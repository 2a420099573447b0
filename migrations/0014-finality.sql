-- When a bank is final is told of a payout, and no longer of a time: what leaves in a file leaves later than a worker takes it.
-- depends: 0006-files
DROP FUNCTION IF EXISTS rail.is_final(uuid, text, timestamptz, timestamptz);
