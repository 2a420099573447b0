CREATE OR REPLACE VIEW payrail.failure_codes AS
SELECT
    f.code,
    f.fault,
    f.retryable,
    f.next_step,
    f.description
FROM payout.failure_codes f;

COMMENT ON VIEW payrail.failure_codes IS 'The final refusals that may fail a payout: who is at fault, whether a new payout can help, and what to do.';
