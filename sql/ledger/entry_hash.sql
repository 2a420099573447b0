-- Promises: a SHA-256 over the previous row's hash and every other column of this row. They are spelled as one record in
-- PostgreSQL's binary form: the type and the length of each stand before it, so that no two rows spell the same bytes,
-- and no setting of a session changes them.
CREATE OR REPLACE FUNCTION ledger.entry_hash(
    p_previous_hash bytea,
    p_merchant_id uuid,
    p_currency text,
    p_seq bigint,
    p_kind text,
    p_amount bigint,
    p_available bigint,
    p_held bigint,
    p_payout_id uuid,
    p_reference text,
    p_created_at timestamptz
)
RETURNS bytea
LANGUAGE sql
STABLE
RETURN sha256(
    record_send(
        ROW(
            p_previous_hash,
            p_merchant_id,
            p_currency,
            p_seq,
            p_kind,
            p_amount,
            p_available,
            p_held,
            p_payout_id,
            p_reference,
            p_created_at
        )
    )
);
