CREATE OR REPLACE VIEW payrail.audit_state AS
SELECT
    r.checked_at,
    f.invariant,
    f.violations
FROM (
    SELECT
        n.checked_at,
        n.findings
    FROM merchant.audit_runs n
    ORDER BY n.run_id DESC
    LIMIT 1
) r
CROSS JOIN LATERAL jsonb_to_recordset(r.findings) f (invariant text, violations bigint);

COMMENT ON VIEW payrail.audit_state IS
'How many rows broke each invariant when the audit was run last, for monitoring; no rows before its first run.';
