-- Promises: calls to a bank are counted, and its breaker follows: five submissions that failed in a row open it, one that succeeds
-- closes it. While it is open there is a trial after 5, 10, 20, 40 and then every 60 seconds. Enquiries are counted only.
-- Lock: the rail's row.
-- Raises: PR111 no such rail, or action.
CREATE OR REPLACE FUNCTION payrail.report_calls(
    p_rail text,
    p_action text,
    p_calls bigint,
    p_failed bigint,
    p_instructions bigint,
    p_busy interval,
    p_error text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
    v_rail rail.rails;
BEGIN
    IF p_action IN ('submit', 'enquire') IS NOT TRUE THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'action');
    END IF;
    SELECT r.* INTO v_rail FROM rail.rails r WHERE r.rail = p_rail;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'rail');
    END IF;

    DELETE FROM rail.calls c
    WHERE c.rail = p_rail AND c.minute < v_now - INTERVAL '90 days';
    INSERT INTO rail.calls AS c (rail, minute, action, calls, failed, instructions, busy)
    VALUES (p_rail, date_trunc('minute', v_now), p_action, p_calls, p_failed, p_instructions, p_busy)
    ON CONFLICT (rail, minute, action) DO UPDATE
        SET
            calls = c.calls + excluded.calls,
            failed = c.failed + excluded.failed,
            instructions = c.instructions + excluded.instructions,
            busy = c.busy + excluded.busy;

    IF p_failed = p_calls AND p_action = 'enquire' THEN
        UPDATE rail.rails r
        SET
            failed_at = v_now,
            error = left(p_error, 500)
        WHERE r.rail = p_rail;
    ELSIF p_failed = p_calls THEN
        -- what the row says once it is locked: of two failures at once each counts
        UPDATE rail.rails r
        SET
            failures = r.failures + p_failed,
            failed_at = v_now,
            error = left(p_error, 500),
            opened_at = CASE WHEN r.failures + p_failed >= 5 THEN coalesce(r.opened_at, v_now) END,
            trial_at = CASE
                -- by how long it has been open: of many calls that were under way when it opened, each fails
                WHEN r.failures + p_failed >= 5
                    THEN v_now + least(
                        5 * power(2, floor(log(2, extract(EPOCH FROM greatest(v_now - coalesce(r.opened_at, v_now), '0')) / 5 + 1))), 60
                    ) * INTERVAL '1 second'
            END
        WHERE r.rail = p_rail;
    ELSIF v_rail.succeeded_at IS NULL OR v_rail.failures > 0 OR v_rail.succeeded_at < v_now - INTERVAL '10 seconds' THEN
        UPDATE rail.rails r
        SET
            succeeded_at = v_now,
            failures = CASE p_action WHEN 'submit' THEN 0 ELSE r.failures END,
            opened_at = CASE p_action WHEN 'submit' THEN NULL ELSE r.opened_at END,
            trial_at = CASE p_action WHEN 'submit' THEN NULL ELSE r.trial_at END
        WHERE r.rail = p_rail;
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.report_calls IS
'Counts calls to a bank (p_failed of p_calls had no answer that could be read) and opens or closes its circuit breaker.';
