-- Promises: adds the dispatch job in the caller's transaction. Procrastinate's functions and triggers name their
-- tables without a schema, hence the search_path.
CREATE OR REPLACE FUNCTION rail.defer_dispatch()
RETURNS void
LANGUAGE plpgsql
SET search_path = procrastinate, pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM procrastinate_defer_jobs_v1(
        ARRAY[ROW('payouts', 'dispatch', 0, NULL, 'dispatch', '{}', NULL)::procrastinate_job_to_defer_v1]
    );
END
$$;
