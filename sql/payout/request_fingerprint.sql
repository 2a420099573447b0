-- Promises: a SHA-256 of what was asked for, in PostgreSQL's binary form: equal for equal requests, by whatever route they
-- came, and for no others, since each field's length stands before it.
CREATE OR REPLACE FUNCTION payout.request_fingerprint(
    p_amount bigint, p_currency text, p_bank_account_id text, p_reference text, p_metadata jsonb
)
RETURNS bytea
LANGUAGE sql
STABLE
RETURN sha256(
    record_send(
        ROW('POST /payouts', p_amount, p_currency, p_bank_account_id, p_reference, coalesce(p_metadata, '{}'))
    )
);
