-- Promises: a batch that has not started is over, and none of its payouts is made, which is an event; one already cancelled stays as it is.
-- Lock: the merchant's.
-- Raises: PR221 it has started, PR421 no such batch, PR401, PR901, PR902.
CREATE OR REPLACE FUNCTION payrail.cancel_batch(p_merchant_id uuid, p_batch_id uuid, p_actor text DEFAULT NULL)
RETURNS SETOF payrail.batches
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz;
    v_status text;
BEGIN
    v_now := merchant.lock_merchant(p_merchant_id);
    SELECT b.status INTO v_status
    FROM payout.batches b
    WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such batch'
            USING ERRCODE = 'PR421', DETAIL = json_build_object('field', 'batch_id', 'batch_id', p_batch_id);
    END IF;
    IF v_status NOT IN ('pending', 'cancelled') THEN
        RAISE EXCEPTION 'the batch has started'
            USING ERRCODE = 'PR221', DETAIL = json_build_object('field', 'status', 'batch_id', p_batch_id, 'current_status', v_status);
    END IF;

    IF v_status = 'pending' THEN
        UPDATE payout.batches b
        SET
            status = 'cancelled',
            completed_at = v_now
        WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id;

        PERFORM webhook.add_event(p_merchant_id, 'batch.completed', payrail.batch_json(b), payrail.actor(p_actor))
        FROM payrail.batches b
        WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id;
    END IF;

    RETURN QUERY
    SELECT b.*
    FROM payrail.batches b
    WHERE b.merchant_id = p_merchant_id AND b.batch_id = p_batch_id;
END
$$;

COMMENT ON FUNCTION payrail.cancel_batch IS 'Cancels a batch that has not started: none of its payouts is made. Repeating it changes nothing.';
