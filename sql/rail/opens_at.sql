-- Promises: the first instant from p_from on at which a mode takes payments, which is p_from while it is open; by its hours, days and
-- holidays in its time zone. NULL if it does not open within a year.
CREATE OR REPLACE FUNCTION rail.opens_at(p_mode rail.modes, p_from timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_today date := (p_from AT TIME ZONE p_mode.time_zone)::date;
    v_day date;
BEGIN
    FOR v_day IN SELECT v_today + n.days FROM generate_series(0, 366) n (days) LOOP
        CONTINUE WHEN NOT extract(isodow FROM v_day)::smallint = ANY (p_mode.days);
        CONTINUE WHEN EXISTS (SELECT FROM rail.holidays h WHERE h.calendar = p_mode.calendar AND h.day = v_day);
        CONTINUE WHEN p_from >= (v_day + coalesce(p_mode.closes, '24:00')) AT TIME ZONE p_mode.time_zone;
        RETURN greatest(p_from, (v_day + coalesce(p_mode.opens, '00:00')) AT TIME ZONE p_mode.time_zone);
    END LOOP;
    RETURN NULL;
END
$$;
