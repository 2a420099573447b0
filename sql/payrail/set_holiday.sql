-- Promises: modes with this calendar do not open on this day, or do again without a name. With p_session_hash, who did it is whoever is
-- signed in to the console with it. One row in the log of actions; none if nothing changes.
-- Raises: PR111 a malformed field, PR503 nobody is signed in with it.
CREATE OR REPLACE FUNCTION payrail.set_holiday(
    p_calendar text, p_day date, p_name text, p_actor text DEFAULT NULL, p_session_hash bytea DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_actor text := payrail.acting(p_actor, p_session_hash);
    v_field text := CASE
        WHEN length(p_calendar) BETWEEN 1 AND 64 IS NOT TRUE THEN 'calendar'
        WHEN p_day IS NULL OR NOT isfinite(p_day) THEN 'day'
        WHEN length(p_name) NOT BETWEEN 1 AND 200 THEN 'name'
    END;
BEGIN
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;
    IF p_name IS NULL THEN
        DELETE FROM rail.holidays h
        WHERE h.calendar = p_calendar AND h.day = p_day;
    ELSE
        INSERT INTO rail.holidays AS h (calendar, day, name)
        VALUES (p_calendar, p_day, p_name)
        ON CONFLICT (calendar, day) DO UPDATE SET name = excluded.name WHERE h.name <> excluded.name;
    END IF;
    IF FOUND THEN
        INSERT INTO merchant.operator_actions (actor, action, object, detail)
        VALUES (
            v_actor,
            CASE WHEN p_name IS NULL THEN 'holiday_removed' ELSE 'holiday_set' END,
            concat_ws(' ', p_calendar, p_day),
            jsonb_build_object('name', p_name)
        );
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.set_holiday IS 'Adds a holiday to a calendar of modes; without a name it is taken out.';
