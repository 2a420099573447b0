-- Promises: a ledger entry as every client sees it. Amounts in minor units.
CREATE OR REPLACE FUNCTION payrail.ledger_entry_json(p_entry payrail.ledger_entries)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN row_to_json(r)
    FROM (
        SELECT
            (p_entry).currency AS currency,
            (p_entry).seq AS seq,
            (p_entry).kind AS kind,
            (p_entry).debit_account AS debit_account,
            (p_entry).credit_account AS credit_account,
            (p_entry).amount AS amount,
            (p_entry).available AS available,
            (p_entry).held AS held,
            (p_entry).payout_id AS payout_id,
            (p_entry).reference AS reference,
            payrail.utc((p_entry).created_at) AS created_at
    ) r;
END
$$;

COMMENT ON FUNCTION payrail.ledger_entry_json IS 'A ledger entry as the API shows it. Amounts in minor units, times in UTC.';
