-- Promises: an event that is not a payout's, numbered with them: one more than the merchant's newest. Returns its number.
-- p_type is one of webhook.event_types; p_data is what clients are told.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION webhook.add_event(p_merchant_id uuid, p_type text, p_data json, p_actor text)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    v_seq bigint;
BEGIN
    INSERT INTO webhook.events (merchant_id, seq, created_at, type, data, actor)
    SELECT
        p_merchant_id,
        1 + coalesce(max(e.seq), 0),
        clock_timestamp(),
        p_type,
        p_data,
        p_actor
    FROM webhook.events e
    WHERE e.merchant_id = p_merchant_id
    RETURNING seq INTO v_seq;
    RETURN v_seq;
END
$$;
