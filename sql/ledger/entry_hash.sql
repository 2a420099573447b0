-- Promises: a SHA-256 over the previous row's hash and every other column of this row, in PostgreSQL's binary form, so
-- that no setting of a session changes it. No two rows spell the same bytes: all but the last text have a fixed length
-- or a fixed alphabet without the separator.
CREATE OR REPLACE FUNCTION ledger.entry_hash(p_previous_hash bytea, p_entry ledger.entries)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
RETURN sha256(
    coalesce(p_previous_hash, ''::bytea)
    || uuid_send((p_entry).merchant_id)
    || int8send((p_entry).seq)
    || int8send((p_entry).amount)
    || int8send((p_entry).available)
    || int8send((p_entry).held)
    || timestamptz_send((p_entry).created_at)
    || convert_to(
        concat_ws('|', (p_entry).currency, (p_entry).kind, (p_entry).payout_id, (p_entry).reference), 'UTF8'
    )
);
