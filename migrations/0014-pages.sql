-- What the pages ask for has other columns now.
-- depends: 0006-files
DROP FUNCTION IF EXISTS payrail.daily_payouts(uuid, integer);
