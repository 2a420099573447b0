-- Promises: what the adapter of a bank declares is what the doors go by. An open breaker stays open.
-- Lock: the rail's row.
-- Raises: PR111 a malformed name, or a bound.
CREATE OR REPLACE FUNCTION payrail.declare_rail(
    p_rail text, p_deduplicates_references boolean, p_honours_valid_until boolean, p_batch_size integer, p_finality interval,
    p_accounts text[] DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text := CASE
        WHEN p_rail ~ '^[a-z][a-z0-9_-]{0,31}$' IS NOT TRUE THEN 'rail'
        WHEN p_deduplicates_references IS NULL THEN 'deduplicates_references'
        WHEN p_honours_valid_until IS NULL THEN 'honours_valid_until'
        WHEN p_batch_size BETWEEN 1 AND 100000 IS NOT TRUE THEN 'batch_size'
        WHEN p_finality BETWEEN INTERVAL '0' AND INTERVAL '90 days' IS NOT TRUE THEN 'finality'
        WHEN NOT (p_accounts <@ ARRAY['account_number', 'vpa', 'iban'] AND cardinality(p_accounts) > 0) THEN 'accounts'
    END;
BEGIN
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;

    INSERT INTO rail.rails AS r (rail, deduplicates_references, honours_valid_until, batch_size, finality, accounts)
    VALUES (p_rail, p_deduplicates_references, p_honours_valid_until, p_batch_size, p_finality, coalesce(p_accounts, '{account_number}'))
    ON CONFLICT (rail) DO UPDATE
        SET
            deduplicates_references = excluded.deduplicates_references,
            honours_valid_until = excluded.honours_valid_until,
            batch_size = excluded.batch_size,
            finality = excluded.finality,
            accounts = coalesce(p_accounts, r.accounts),
            declared_at = excluded.declared_at;
END
$$;

COMMENT ON FUNCTION payrail.declare_rail IS
'Tells what a bank can be relied on for: a worker does so at its start for each adapter it has. finality is how long after sending
"not found" may still turn into "paid", and p_accounts which kinds of account it can pay: account_number, vpa, iban.';
