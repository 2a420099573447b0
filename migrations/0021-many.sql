-- What a bank has said of payouts of many merchants, for payrail.record_answers_for_many.
-- depends: 0020-payout-first
CREATE TYPE payrail.addressed_answer AS (
    merchant_id uuid,
    payout_id uuid,
    outcome text,
    code text,
    utr text,
    reason text,
    answer jsonb,
    attempt integer
);
COMMENT ON TYPE payrail.addressed_answer IS 'What a bank said of a payout of this merchant; the other fields are those of payrail.bank_answer.';
