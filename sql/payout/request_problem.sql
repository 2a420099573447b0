-- Promises: the code of what is wrong with a request for a payout, NULL when it is well formed. payrail.problem
-- tells what each code means.
CREATE OR REPLACE FUNCTION payout.request_problem(
    p_idempotency_key text, p_amount bigint, p_bank_account_id text, p_reference text, p_metadata jsonb, p_narration text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
RETURN CASE
    WHEN (length(p_idempotency_key) <= 255 AND p_idempotency_key ~ '^[\x21-\x7e]+$') IS NOT TRUE
        THEN 'idempotency_key_invalid'
    WHEN (p_amount BETWEEN 1 AND 1000000000000000) IS NOT TRUE THEN 'amount_invalid'
    WHEN p_bank_account_id IS NULL THEN 'bank_account_invalid'
    WHEN length(p_reference) NOT BETWEEN 1 AND 255 OR p_reference ~ '[[:cntrl:]]' THEN 'reference_invalid'
    WHEN p_metadata IS NOT NULL AND NOT payout.is_metadata(p_metadata) THEN 'metadata_invalid'
    WHEN p_narration !~ '^[A-Za-z0-9][A-Za-z0-9 ]{0,29}$' THEN 'narration_invalid'
END;
