-- Promises: a line of a batch as every client sees it. Amounts in minor units.
CREATE OR REPLACE FUNCTION payrail.batch_line_json(p_line payrail.batch_lines)
RETURNS json
LANGUAGE sql
STABLE
RETURN row_to_json(
    ROW(
        (p_line).line,
        (p_line).outcome,
        (p_line).amount,
        (p_line).currency,
        (p_line).bank_account_id,
        (p_line).reference,
        coalesce((p_line).metadata, '{}'),
        (p_line).idempotency_key,
        (p_line).payout_id,
        (p_line).payout_status,
        coalesce((p_line).replayed, FALSE),
        (p_line).code,
        (p_line).detail,
        (p_line).fee
    )::payrail.batch_line_document
);

COMMENT ON FUNCTION payrail.batch_line_json IS 'A line of a batch as the API shows it. Amounts in minor units.';
