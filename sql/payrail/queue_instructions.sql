-- Promises: an instruction waits for the next file of its bank, once and for ever, if its payout is processing.
-- Effects: queued, repeated (it waits already, or is in a file), refused (the payout is not processing, or not this bank's).
-- Lock: the merchants', in the order of their ids.
-- Raises: PR111 no references.
CREATE OR REPLACE FUNCTION payrail.queue_instructions(p_rail text, p_rail_refs text[])
RETURNS TABLE (rail_ref text, effect text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_merchant_id uuid;
    v_queued text[];
    v_now timestamptz;
BEGIN
    IF p_rail_refs IS NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'rail_refs');
    END IF;
    FOR v_merchant_id IN
        SELECT DISTINCT i.merchant_id
        FROM rail.instructions i
        WHERE i.rail_ref = ANY (p_rail_refs) AND i.rail = p_rail
        ORDER BY i.merchant_id
    LOOP
        PERFORM merchant.lock_merchant(v_merchant_id);
    END LOOP;
    v_now := rail.clock();

    WITH queued AS (
        INSERT INTO rail.filed_instructions AS f (rail_ref, rail, merchant_id, payout_id, queued_at)
        SELECT i.rail_ref, i.rail, i.merchant_id, i.payout_id, v_now
        FROM rail.instructions i
        INNER JOIN payout.payouts p ON i.merchant_id = p.merchant_id AND i.payout_id = p.payout_id
        WHERE i.rail_ref = ANY (p_rail_refs) AND i.rail = p_rail AND p.status = 'processing'
        ORDER BY i.rail_ref
        ON CONFLICT DO NOTHING
        RETURNING f.rail_ref
    )

    SELECT coalesce(array_agg(q.rail_ref), '{}') INTO v_queued FROM queued q;

    RETURN QUERY
    SELECT
        r.rail_ref,
        CASE
            WHEN r.rail_ref = ANY (v_queued) THEN 'queued'
            WHEN EXISTS (SELECT FROM rail.filed_instructions f WHERE f.rail_ref = r.rail_ref AND f.rail = p_rail) THEN 'repeated'
            ELSE 'refused'
        END
    FROM unnest(p_rail_refs) r (rail_ref);
END
$$;

COMMENT ON FUNCTION payrail.queue_instructions IS
'Puts instructions in line for the next file to a bank: queued, repeated, or refused when the payout is not processing.';
