-- Promises: what waits for money in the merchant's queues and can be had is held, the payout that came first, first: one that does not
-- fit holds up those behind it, in its currency. At most a thousand; then the next is due at once, and a worker goes on. Returns
-- whether any is pending now.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION payout.promote_queued(p_merchant_id uuid, p_actor text, p_now timestamptz)
RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    v_currency text;
    v_payout payout.payouts;
    v_left integer := 1000;
    v_is_pending boolean := FALSE;
BEGIN
    FOR v_currency IN
        SELECT DISTINCT p.currency
        FROM payout.payouts p
        WHERE p.merchant_id = p_merchant_id AND p.status = 'queued'
    LOOP
        LOOP
            SELECT p.* INTO v_payout
            FROM payout.payouts p
            WHERE p.merchant_id = p_merchant_id AND p.currency = v_currency AND p.status = 'queued'
            ORDER BY p.updated_at, p.payout_id
            LIMIT 1;
            EXIT WHEN NOT FOUND OR v_payout.amount + v_payout.fee > payout.available_balance(p_merchant_id, v_currency);

            IF v_left = 0 THEN
                UPDATE payout.payouts p
                SET next_action_at = p_now
                WHERE p.merchant_id = p_merchant_id AND p.payout_id = v_payout.payout_id;
                EXIT;
            END IF;
            v_is_pending := payout.hold_payout(p_merchant_id, v_payout, p_actor, p_now) = 'pending' OR v_is_pending;
            v_left := v_left - 1;
        END LOOP;
    END LOOP;
    RETURN v_is_pending;
END
$$;
