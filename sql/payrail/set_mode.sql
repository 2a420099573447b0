-- Promises: the bank moves money by this mode, with these bounds and hours, from the next payout on. One that waits for the mode to open
-- is looked at again when it is claimed. With p_session_hash, who did it is whoever is signed in to the console with it. One row in
-- the log of actions; none if nothing changes.
-- Raises: PR111 a malformed field, PR503 nobody is signed in with it.
CREATE OR REPLACE FUNCTION payrail.set_mode(
    p_rail text,
    p_mode text,
    p_currency text,
    p_accounts text[],
    p_rank integer,
    p_amount_min bigint DEFAULT 1,
    p_amount_max bigint DEFAULT 1000000000000000,
    p_opens time DEFAULT NULL,
    p_closes time DEFAULT NULL,
    p_days smallint[] DEFAULT NULL,
    p_time_zone text DEFAULT 'UTC',
    p_calendar text DEFAULT NULL,
    p_actor text DEFAULT NULL,
    p_session_hash bytea DEFAULT NULL
)
RETURNS SETOF payrail.modes
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_actor text := payrail.acting(p_actor, p_session_hash);
    v_set rail.modes;
    v_field text := CASE
        WHEN NOT EXISTS (SELECT FROM rail.rails r WHERE r.rail = p_rail) THEN 'rail'
        WHEN p_mode ~ '^[A-Z][A-Z0-9_]{1,15}$' IS NOT TRUE THEN 'mode'
        WHEN NOT EXISTS (SELECT FROM ledger.currencies c WHERE c.currency = p_currency) THEN 'currency'
        WHEN (p_accounts <@ ARRAY['account_number', 'vpa', 'iban'] AND cardinality(p_accounts) > 0) IS NOT TRUE THEN 'accounts'
        WHEN p_rank BETWEEN 0 AND 1000 IS NOT TRUE THEN 'rank'
        WHEN p_amount_min BETWEEN 1 AND 1000000000000000 IS NOT TRUE THEN 'amount_min'
        WHEN p_amount_max BETWEEN p_amount_min AND 1000000000000000 IS NOT TRUE THEN 'amount_max'
        -- 24:00 is a time here only: clients have none
        WHEN num_nonnulls(p_opens, p_closes) = 1 OR p_opens >= p_closes OR p_closes = '24:00' THEN 'closes'
        WHEN NOT (p_days <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[] AND cardinality(p_days) > 0) THEN 'days'
        WHEN NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = p_time_zone) THEN 'time_zone'
        WHEN length(p_calendar) NOT BETWEEN 1 AND 64 THEN 'calendar'
    END;
BEGIN
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;

    INSERT INTO rail.modes AS m (
        rail, mode, currency, accounts, rank, amount_min, amount_max, opens, closes, days, time_zone, calendar
    )
    VALUES (
        p_rail, p_mode, p_currency, p_accounts, p_rank, p_amount_min, p_amount_max, p_opens, p_closes, p_days, p_time_zone, p_calendar
    )
    ON CONFLICT (rail, mode, currency) DO UPDATE
        SET
            accounts = excluded.accounts,
            rank = excluded.rank,
            amount_min = excluded.amount_min,
            amount_max = excluded.amount_max,
            opens = excluded.opens,
            closes = excluded.closes,
            days = excluded.days,
            time_zone = excluded.time_zone,
            calendar = excluded.calendar
        WHERE m IS DISTINCT FROM excluded
    RETURNING m.* INTO v_set;
    IF FOUND THEN
        INSERT INTO merchant.operator_actions (actor, action, object, detail)
        VALUES (
            v_actor, 'mode_set', concat_ws(' ', p_rail, p_mode, p_currency), to_jsonb(v_set) - 'rail' - 'mode' - 'currency'
        );
    END IF;

    RETURN QUERY
    SELECT m.*
    FROM payrail.modes m
    WHERE m.rail = p_rail AND m.mode = p_mode AND m.currency = p_currency;
END
$$;

COMMENT ON FUNCTION payrail.set_mode IS
'Tells how a bank moves money: which accounts (account_number, vpa, iban), between which sums (minor units), and when: opens and closes by
the clock of p_time_zone, on p_days (1 is Monday), except for the holidays of p_calendar. Of the open ones the lowest p_rank is chosen.';
