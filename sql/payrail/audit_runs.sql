CREATE OR REPLACE VIEW payrail.audit_runs AS
SELECT
    r.run_id,
    r.checked_at,
    r.took,
    r.actor,
    r.findings
FROM merchant.audit_runs r;

COMMENT ON VIEW payrail.audit_runs IS
'Each run of the audit: when, how long it took, who asked, and what payrail.audit_report said. A larger run_id is newer.';
