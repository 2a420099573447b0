-- Promises: a SHA-256 of what was asked for, in PostgreSQL's binary form: equal for equal requests, by whatever route they
-- came, and for no others, since each field's length stands before it. What says none of the later fields has the fingerprint that it
-- had before there were any: a key stays valid for ever.
CREATE OR REPLACE FUNCTION payout.request_fingerprint(
    p_amount bigint,
    p_currency text,
    p_bank_account_id text,
    p_reference text,
    p_metadata jsonb,
    p_scheduled_at timestamptz,
    p_queue_if_low_balance boolean,
    p_narration text,
    p_retry_of uuid,
    p_mode text
)
RETURNS bytea
LANGUAGE sql
STABLE
RETURN sha256(
    CASE
        WHEN (p_scheduled_at, p_narration, p_retry_of, p_mode) IS NULL AND p_queue_if_low_balance IS NOT TRUE
            THEN record_send(
                ROW('POST /payouts', p_amount, p_currency, p_bank_account_id, p_reference, coalesce(p_metadata, '{}'))
            )
        ELSE record_send(
            ROW(
                'POST /payouts', p_amount, p_currency, p_bank_account_id, p_reference, coalesce(p_metadata, '{}'),
                p_scheduled_at, coalesce(p_queue_if_low_balance, FALSE), p_narration, p_retry_of, p_mode
            )
        )
    END
);
