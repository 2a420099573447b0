CREATE OR REPLACE VIEW payrail.rails AS
SELECT
    r.rail,
    CASE WHEN r.opened_at IS NULL THEN 'closed' ELSE 'open' END AS breaker,
    r.failures,
    r.opened_at,
    r.trial_at,
    r.succeeded_at,
    r.failed_at,
    r.error,
    r.deduplicates_references,
    r.honours_valid_until,
    r.batch_size,
    r.finality,
    r.declared_at,
    r.accounts
FROM rail.rails r;

COMMENT ON VIEW payrail.rails IS
'Banks: the circuit breaker (open: nothing new is sent before trial_at), failures in a row, the last success and failure, what the
bank can be relied on for, and which kinds of account it can pay.';
