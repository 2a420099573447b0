-- Promises: somebody new may sign in to the console; it is in the log. A name is given once and for ever.
-- Raises: PR106, PR111 the hash is no Argon2id, PR208 the name is taken.
CREATE OR REPLACE FUNCTION payrail.add_operator(p_name text, p_password_hash text, p_actor text DEFAULT NULL)
RETURNS SETOF payrail.operators
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (p_name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$') IS NOT TRUE THEN
        RAISE EXCEPTION 'name must be 1 to 64 small letters, digits or one of . _ @ - and begin with a letter or digit'
            USING ERRCODE = 'PR106', DETAIL = json_build_object('field', 'name');
    END IF;
    IF (p_password_hash LIKE '$argon2id$%' AND length(p_password_hash) <= 255) IS NOT TRUE THEN
        RAISE EXCEPTION 'the password must come as an Argon2id hash'
            USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'password_hash');
    END IF;

    INSERT INTO merchant.operators (name, password_hash)
    VALUES (p_name, p_password_hash)
    ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is an operator of this name'
            USING ERRCODE = 'PR208', DETAIL = json_build_object('field', 'name');
    END IF;
    INSERT INTO merchant.operator_actions (actor, action, object)
    VALUES (payrail.actor(p_actor), 'operator_added', p_name);

    RETURN QUERY
    SELECT o.*
    FROM payrail.operators o
    WHERE o.name = p_name;
END
$$;

COMMENT ON FUNCTION payrail.add_operator IS
'Lets somebody sign in to the console. p_password_hash is an Argon2id PHC string; the password itself never gets here.';
