-- Promises: a batch as every client sees it. Amounts in minor units.
CREATE OR REPLACE FUNCTION payrail.batch_json(p_batch payrail.batches)
RETURNS json
LANGUAGE sql
STABLE
RETURN row_to_json(
    ROW(
        (p_batch).batch_id,
        (p_batch).status,
        (p_batch).mode,
        (p_batch).name,
        (p_batch).lines,
        (p_batch).accepted,
        (p_batch).rejected,
        (p_batch).totals,
        payrail.utc((p_batch).created_at),
        payrail.utc((p_batch).completed_at)
    )::payrail.batch_document
);

COMMENT ON FUNCTION payrail.batch_json IS 'A batch as the API shows it. Amounts in minor units, times in UTC.';
