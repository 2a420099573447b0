-- Promises: what payrail.audit_report says now, of one moment, and it is kept, with who asked and how long it took; a standby only
-- answers.
CREATE OR REPLACE FUNCTION payrail.run_audit(p_actor text DEFAULT NULL)
RETURNS TABLE (invariant text, promise text, violations bigint, sample jsonb)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_begun timestamptz := clock_timestamp();
    v_findings jsonb;
BEGIN
    -- one statement is one moment: audit_report is STABLE
    SELECT jsonb_agg(to_jsonb(r)) INTO v_findings FROM payrail.audit_report() r;
    IF NOT pg_is_in_recovery() THEN
        INSERT INTO merchant.audit_runs (checked_at, took, actor, findings)
        VALUES (v_begun, clock_timestamp() - v_begun, payrail.actor(p_actor), v_findings);
    END IF;
    RETURN QUERY
    SELECT f.*
    FROM jsonb_to_recordset(v_findings) f (invariant text, promise text, violations bigint, sample jsonb);
END
$$;

COMMENT ON FUNCTION payrail.run_audit IS
'Runs payrail.audit_report and keeps what it found (payrail.audit_runs). It reads everything: on a large ledger it takes a while.';
