-- Promises: an RFC 9457 problem as a client sees it, for each code that create_payouts answers. It carries no request
-- id: a replay repeats it word for word.
CREATE OR REPLACE FUNCTION payrail.problem(p_code text, p_detail text DEFAULT NULL)
RETURNS json
LANGUAGE sql
STABLE
RETURN (
    SELECT row_to_json(r)
    FROM (
        SELECT
            '/docs/#error-' || p_code AS type,
            upper(left(p_code, 1)) || replace(substr(p_code, 2), '_', ' ') AS title,
            CASE p_code WHEN 'idempotency_key_invalid' THEN 400 ELSE 422 END AS status,
            d.detail,
            p_code AS code,
            FALSE AS retryable,
            json_build_array(json_build_object('pointer', '/' || d.field, 'code', p_code, 'detail', d.detail)) AS errors
        FROM (
            SELECT
                w.field,
                coalesce(p_detail, w.detail) AS detail
            FROM (
                VALUES
                ('idempotency_key_invalid', 'idempotency_key', 'must be 1 to 255 visible ASCII characters, such as a UUID'),
                (
                    'idempotency_key_reused', 'idempotency_key',
                    'this key was used for a different request: send the same body again, or use a new key'
                ),
                ('amount_invalid', 'amount', 'must be a whole number of minor units, 1 to 10^15'),
                ('currency_unknown', 'currency', 'must be the ISO 4217 code of a supported currency, such as INR'),
                ('bank_account_invalid', 'bank_account_id', 'must name a bank account of the merchant'),
                ('bank_account_not_found', 'bank_account_id', 'there is no bank account with this id, or it is archived'),
                ('reference_invalid', 'reference', 'must be 1 to 255 characters without control characters'),
                (
                    'metadata_invalid', 'metadata',
                    'must be an object of at most 20 keys of 1 to 40 characters, each a string of at most 500'
                ),
                ('narration_invalid', 'narration', 'must be 1 to 30 letters, digits and spaces, and begin with no space'),
                ('scheduled_at_invalid', 'scheduled_at', 'must be in the future, and no more than 366 days away'),
                (
                    'retry_of_invalid', 'retry_of',
                    'must name a payout of this merchant that has ended without paying and was not retried'
                ),
                ('insufficient_funds', 'amount', 'the available balance is less than the amount'),
                ('limit_exceeded', 'amount', 'a limit of the merchant would be passed'),
                ('mode_unavailable', 'mode', 'the bank has no such mode for this account and amount')
            ) w (code, field, detail)
            WHERE w.code = p_code
        ) d
    ) r
);

COMMENT ON FUNCTION payrail.problem IS 'An RFC 9457 problem (application/problem+json) naming the field it is about.';
