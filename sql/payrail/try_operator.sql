-- Promises: what a password is to be compared with, and a try less: after ten without signing in, counted from the first, a name has to
-- wait until ten minutes are over, whether or not there is such an operator. Counted before the password is compared, so that
-- trying many at once is no way around it. No row for who is unknown, disabled or has to wait.
CREATE OR REPLACE FUNCTION payrail.try_operator(p_name text)
RETURNS SETOF text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tries integer;
BEGIN
    -- nobody's name; not to be kept either
    IF (p_name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$') IS NOT TRUE THEN
        RETURN;
    END IF;

    INSERT INTO merchant.operator_tries AS t (name, tries, since)
    VALUES (p_name, 1, now())
    ON CONFLICT (name) DO UPDATE
        SET
            tries = CASE WHEN t.since > now() - INTERVAL '10 minutes' THEN t.tries + 1 ELSE 1 END,
            since = CASE WHEN t.since > now() - INTERVAL '10 minutes' THEN t.since ELSE now() END
    RETURNING t.tries INTO v_tries;

    RETURN QUERY
    SELECT o.password_hash
    FROM merchant.operators o
    WHERE o.name = p_name AND o.disabled_at IS NULL AND v_tries <= 10;
END
$$;

COMMENT ON FUNCTION payrail.try_operator IS
'Counts a try to sign in to the console and returns the hash to compare the password with; no row when the name is unknown, disabled,
or was tried ten times in ten minutes.';
