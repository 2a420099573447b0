-- Promises: a SHA-256 of what was asked for: equal for equal requests, by whatever route they came.
CREATE OR REPLACE FUNCTION payout.request_fingerprint(
    p_amount bigint, p_currency text, p_bank_account_id text, p_reference text, p_metadata jsonb
)
RETURNS bytea
LANGUAGE sql
STABLE
RETURN sha256(
    convert_to(
        jsonb_build_array(
            'POST /payouts', p_amount, p_currency, p_bank_account_id, p_reference, coalesce(p_metadata, '{}')
        )::text,
        'UTF8'
    )
);
