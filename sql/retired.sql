-- What earlier versions had and this one has not. It goes in the same transaction that replaces what called it.
DROP FUNCTION IF EXISTS payout.retry_problem(uuid, uuid);
DROP FUNCTION IF EXISTS payrail.verify_ledger(jsonb, integer);
DROP FUNCTION IF EXISTS rail.record_evidence(uuid, uuid, integer, text, text, text, text, text, jsonb);
DROP FUNCTION IF EXISTS rail.shut_rails(uuid, text[], timestamptz);
DROP FUNCTION IF EXISTS rail.breakers(uuid, text[], timestamptz);
DROP FUNCTION IF EXISTS merchant.lock_free_merchants(uuid[]);
