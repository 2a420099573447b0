-- Promises: the operator is signed out at once and can not sign in; it is in the log. Repeating it changes nothing.
-- Raises: PR405.
CREATE OR REPLACE FUNCTION payrail.disable_operator(p_name text, p_actor text DEFAULT NULL)
RETURNS SETOF payrail.operators
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE merchant.operators o
    SET disabled_at = now()
    WHERE o.name = p_name AND o.disabled_at IS NULL;
    IF FOUND THEN
        INSERT INTO merchant.operator_actions (actor, action, object)
        VALUES (payrail.actor(p_actor), 'operator_disabled', p_name);
    END IF;

    RETURN QUERY
    SELECT o.*
    FROM payrail.operators o
    WHERE o.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no operator of this name'
            USING ERRCODE = 'PR405', DETAIL = json_build_object('field', 'name');
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.disable_operator IS 'Signs an operator out of the console and keeps them out, until they are given a new password.';
