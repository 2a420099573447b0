-- Promises: who acts, for the history: the database role that is logged in, which no argument can change, and
-- what it says of itself (an API key's prefix, a worker's host, a person).
CREATE OR REPLACE FUNCTION payrail.actor(p_actor text)
RETURNS text
LANGUAGE sql
STABLE
RETURN session_user || coalesce(':' || left(p_actor, 100), '');

COMMENT ON FUNCTION payrail.actor IS 'The name under which the caller is written into the history.';
