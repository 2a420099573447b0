-- Promises: the operator signs in with this password from now on and with no other, and is signed out everywhere; it is in the log. A
-- disabled operator may sign in again.
-- Raises: PR111 the hash is no Argon2id, PR405.
CREATE OR REPLACE FUNCTION payrail.set_operator_password(p_name text, p_password_hash text, p_actor text DEFAULT NULL)
RETURNS SETOF payrail.operators
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (p_password_hash LIKE '$argon2id$%' AND length(p_password_hash) <= 255) IS NOT TRUE THEN
        RAISE EXCEPTION 'the password must come as an Argon2id hash'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'password_hash');
    END IF;

    UPDATE merchant.operators o
    SET password_hash = p_password_hash, disabled_at = NULL
    WHERE o.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no operator of this name'
            USING ERRCODE = 'PR405', DETAIL = json_build_object('field', 'name');
    END IF;
    INSERT INTO merchant.operator_actions (actor, action, object)
    VALUES (payrail.actor(p_actor), 'operator_password_set', p_name);

    RETURN QUERY
    SELECT o.*
    FROM payrail.operators o
    WHERE o.name = p_name;
END
$$;

COMMENT ON FUNCTION payrail.set_operator_password IS
'Gives an operator another password and ends the sessions; one that was disabled may sign in again. p_password_hash is an Argon2id
PHC string.';
