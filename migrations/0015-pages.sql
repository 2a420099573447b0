-- What the pages ask for has other columns now.
-- depends: 0014-finality
DROP FUNCTION IF EXISTS payrail.daily_payouts(uuid, integer);
