-- Promises: the orders of one file to a bank: of one that was cut and has no content yet, or else of a new one with what waits, oldest
-- first, of one currency and a sum of 18 digits at most. A new one is cut p_every after the last, or at once when p_limit wait. What
-- has ended meanwhile is withdrawn. No rows: nothing is to be written.
-- Lock: the merchants', in the order of their ids.
-- Raises: PR111 no such rail, or a bound.
CREATE OR REPLACE FUNCTION payrail.cut_file(p_rail text, p_limit integer, p_every interval)
RETURNS TABLE (
    file_id uuid,
    message_id text,
    cut_at timestamptz,
    total bigint,
    rail_ref text,
    amount bigint,
    currency text,
    account_number text,
    ifsc text,
    iban text,
    holder_name text,
    mode text,
    narration text
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := rail.clock();
    v_field text := CASE
        WHEN NOT EXISTS (SELECT FROM rail.rails r WHERE r.rail = p_rail) THEN 'rail'
        WHEN p_limit BETWEEN 1 AND 100000 IS NOT TRUE THEN 'limit'
        WHEN p_every BETWEEN INTERVAL '0' AND INTERVAL '1 day' IS NOT TRUE THEN 'every'
    END;
    v_file_id uuid;
    v_waiting text[];
    v_merchant_id uuid;
    v_merchant_ids uuid[] := '{}';
BEGIN
    IF v_field IS NOT NULL THEN
        RAISE EXCEPTION 'argument out of bounds' USING ERRCODE = 'PR111', DETAIL = json_build_object('field', v_field);
    END IF;

    SELECT f.file_id INTO v_file_id
    FROM rail.payment_files f
    WHERE f.rail = p_rail AND f.sent_at IS NULL AND f.content IS NULL
    ORDER BY f.file_id
    LIMIT 1;

    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM rail.payment_files f WHERE f.rail = p_rail AND f.cut_at > v_now - p_every) AND (
            SELECT count(*) < p_limit
            FROM (
                SELECT
                FROM rail.filed_instructions f
                WHERE f.rail = p_rail AND f.file_id IS NULL AND f.withdrawn_at IS NULL
                LIMIT p_limit
            ) w
        ) THEN
            RETURN;
        END IF;

        -- who cuts at the same moment waits here, and then finds nothing
        FOR v_merchant_id IN
            SELECT DISTINCT w.merchant_id
            FROM (
                SELECT f.merchant_id
                FROM rail.filed_instructions f
                WHERE f.rail = p_rail AND f.file_id IS NULL AND f.withdrawn_at IS NULL
                ORDER BY f.queued_at, f.rail_ref
                LIMIT p_limit
            ) w
            ORDER BY w.merchant_id
        LOOP
            PERFORM merchant.lock_merchant(v_merchant_id);
            v_merchant_ids := v_merchant_ids || v_merchant_id;
        END LOOP;

        SELECT coalesce(array_agg(w.rail_ref), '{}') INTO v_waiting
        FROM (
            SELECT f.rail_ref
            FROM rail.filed_instructions f
            WHERE
                f.rail = p_rail
                AND f.file_id IS NULL
                AND f.withdrawn_at IS NULL
                AND f.merchant_id = ANY (v_merchant_ids)
            ORDER BY f.queued_at, f.rail_ref
            LIMIT p_limit
        ) w;
        UPDATE rail.filed_instructions f
        SET withdrawn_at = v_now
        FROM payout.payouts p
        WHERE
            f.rail_ref = ANY (v_waiting)
            AND f.merchant_id = p.merchant_id
            AND f.payout_id = p.payout_id
            AND p.status <> 'processing';

        -- a control sum has 18 digits
        SELECT array_agg(o.rail_ref) INTO v_waiting
        FROM (
            SELECT
                f.rail_ref,
                p.currency,
                first_value(p.currency) OVER (ORDER BY f.queued_at, f.rail_ref) AS first_currency,
                sum(p.amount) OVER (PARTITION BY p.currency ORDER BY f.queued_at, f.rail_ref) AS so_far
            FROM rail.filed_instructions f
            INNER JOIN payout.payouts p ON f.merchant_id = p.merchant_id AND f.payout_id = p.payout_id
            WHERE f.rail_ref = ANY (v_waiting) AND f.withdrawn_at IS NULL
        ) o
        WHERE o.currency = o.first_currency AND o.so_far < 1000000000000000000;

        INSERT INTO rail.payment_files AS k (rail, currency, instructions, amount, cut_at)
        SELECT
            p_rail,
            p.currency,
            count(*),
            sum(p.amount),
            v_now
        FROM rail.filed_instructions f
        INNER JOIN payout.payouts p ON f.merchant_id = p.merchant_id AND f.payout_id = p.payout_id
        WHERE f.rail_ref = ANY (v_waiting)
        GROUP BY p.currency
        RETURNING k.file_id INTO v_file_id;

        UPDATE rail.filed_instructions f
        SET file_id = v_file_id
        WHERE f.rail_ref = ANY (v_waiting);
    END IF;

    RETURN QUERY
    SELECT
        k.file_id,
        k.message_id,
        k.cut_at,
        k.amount,
        f.rail_ref,
        p.amount::bigint,
        p.currency,
        b.account_number,
        b.ifsc,
        b.iban,
        b.holder_name,
        p.mode,
        p.narration
    FROM rail.payment_files k
    INNER JOIN rail.filed_instructions f ON k.file_id = f.file_id
    INNER JOIN payout.payouts p ON f.merchant_id = p.merchant_id AND f.payout_id = p.payout_id
    INNER JOIN merchant.bank_accounts b ON p.merchant_id = b.merchant_id AND p.bank_account_id = b.bank_account_id
    WHERE k.file_id = v_file_id
    ORDER BY f.rail_ref;
END
$$;

COMMENT ON FUNCTION payrail.cut_file IS
'Returns the orders of the next file to a bank, each with the file''s ids and total; nothing when there is nothing to write. Accounts
are in full, for the file. Amounts in minor units.';
