-- Promises: a dispatch job is waiting when the caller's transaction commits, unless another transaction is just
-- adding it: it never waits and never fails the payout. A missed alarm costs one sweep of the worker (1 s).
-- Where there is no job queue, as on another node of a cluster, it does nothing.
CREATE OR REPLACE FUNCTION rail.wake_worker()
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF to_regclass('procrastinate.procrastinate_jobs') IS NULL THEN
        RETURN;
    END IF;
    IF rail.dispatch_is_waiting() OR NOT pg_try_advisory_xact_lock(hashtextextended('payrail:dispatch', 0)) THEN
        RETURN;
    END IF;
    -- whoever held the lock a moment ago may have added it
    IF NOT rail.dispatch_is_waiting() THEN
        PERFORM rail.defer_dispatch();
    END IF;
END
$$;
