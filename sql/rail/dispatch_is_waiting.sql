-- Promises: whether the one dispatch job is waiting for a worker.
CREATE OR REPLACE FUNCTION rail.dispatch_is_waiting()
RETURNS boolean
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM procrastinate.procrastinate_jobs j
        WHERE j.queueing_lock = 'dispatch' AND j.status = 'todo'
    );
END
$$;
