-- Promises: who acts, for the log of actions: whoever is signed in to the console with this session, or without one p_actor.
-- Raises: PR503 nobody is signed in with it.
CREATE OR REPLACE FUNCTION payrail.acting(p_actor text, p_session_hash bytea)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_actor text := p_actor;
BEGIN
    IF p_session_hash IS NOT NULL THEN
        SELECT s.* INTO v_actor FROM payrail.resume_operator_session(p_session_hash) s;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the session is over' USING ERRCODE = 'PR503';
        END IF;
    END IF;
    RETURN payrail.actor(v_actor);
END
$$;

COMMENT ON FUNCTION payrail.acting IS 'The name under which whoever acts, in the console or without it, is written into the log of actions.';
