-- A call for many may wait; and no mode closes at 24:00, for which clients have no time.
-- depends: 0019-told-modes
DROP FUNCTION IF EXISTS payrail.create_payouts_for_many(payrail.addressed_request[]);

UPDATE rail.modes SET closes = '23:59:59.999999' WHERE closes = '24:00';

ALTER TABLE rail.modes ADD CONSTRAINT closes_before_midnight CHECK (closes < '24:00');
