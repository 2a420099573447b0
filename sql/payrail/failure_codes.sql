CREATE OR REPLACE VIEW payrail.failure_codes AS
SELECT
    f.code,
    f.fault,
    f.retryable,
    f.next_step,
    f.description,
    f.by_bank
FROM payout.failure_codes f;

COMMENT ON VIEW payrail.failure_codes IS 'Why a payout may fail: who is at fault, whether a new payout can help, and what to do; by_bank: it is a bank''s final refusal.';
