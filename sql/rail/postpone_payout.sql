-- Promises: the bank is asked again about a payout of which it has said nothing final: after 1 s, 2 s, 4 s … up to 10 minutes (or a 48th
-- of the bank's finality time, if that is longer), by a factor between 0.75 and 1.25, and without limit. At once if it never saw the
-- reference and can be sent it again. One that provably never left, as no attempt to send it reached the bank and the bank has told of
-- none, is pending again. Beyond the bank's finality time it is a case for people. Returns the status.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.postpone_payout(
    p_merchant_id uuid, p_payout payout.payouts, p_outcome text, p_reason text, p_attempt integer, p_actor text, p_now timestamptz
)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_rail rail.rails;
    v_sent_by timestamptz;
    v_next_action_at timestamptz;
BEGIN
    -- nothing is open, nothing was to be asked, or a later attempt has it in hand
    IF p_payout.next_action_at IS NULL OR p_payout.status = 'pending' OR p_payout.send_before IS NULL
        OR p_attempt <> p_payout.attempts THEN
        RETURN p_payout.status;
    END IF;

    SELECT r.* INTO v_rail
    FROM merchant.bank_accounts b
    INNER JOIN rail.rails r ON b.rail = r.rail
    WHERE b.merchant_id = p_merchant_id AND b.bank_account_id = p_payout.bank_account_id;
    v_next_action_at := p_now + (0.75 + random() / 2) * least(
        power(2, least(greatest(p_payout.attempts, 1), 30) - 1) * INTERVAL '1 second',
        greatest(INTERVAL '10 minutes', v_rail.finality / 48)
    );

    IF p_payout.status <> 'processing' THEN
        UPDATE payout.payouts p
        SET
            next_action_at = CASE
                WHEN p_outcome = 'not_found'
                    AND p_now > rail.final_at(p_merchant_id, p_payout) THEN NULL
                ELSE v_next_action_at
            END
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout.payout_id;
        RETURN p_payout.status;
    END IF;

    -- of what was sent before attempts were kept, nobody can prove that it never left
    IF p_outcome = 'not_sent' AND EXISTS (
        SELECT
        FROM rail.attempts a
        WHERE a.merchant_id = p_merchant_id AND a.payout_id = p_payout.payout_id AND a.attempt = 1
    ) AND EXISTS (
        SELECT
        FROM rail.attempts a
        WHERE
            a.merchant_id = p_merchant_id
            AND a.payout_id = p_payout.payout_id
            AND a.attempt = p_attempt
            AND a.action = 'submit'
    ) AND NOT EXISTS (
        SELECT
        FROM rail.attempts a
        WHERE
            a.merchant_id = p_merchant_id
            AND a.payout_id = p_payout.payout_id
            AND a.action = 'submit'
            AND a.attempt <> p_attempt
            AND NOT EXISTS (
                SELECT
                FROM rail.evidence e
                WHERE
                    e.merchant_id = p_merchant_id
                    AND e.payout_id = p_payout.payout_id
                    AND e.attempt = a.attempt
                    AND e.outcome = 'not_sent'
            )
    ) AND NOT rail.is_told_of(v_rail.rail, replace(p_payout.payout_id::text, '-', '')) THEN
        UPDATE payout.payouts p
        SET
            status = 'pending',
            next_action_at = v_next_action_at,
            unknown_reason = NULL,
            actor = p_actor,
            reason = left(p_reason, 500)
        WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout.payout_id;
        RETURN 'pending';
    END IF;

    UPDATE payout.payouts p
    SET
        next_action_at = CASE
            WHEN p_outcome = 'not_found' AND v_rail.deduplicates_references AND p_attempt IS NOT NULL THEN p_now
            ELSE v_next_action_at
        END,
        unknown_reason = left(coalesce(p_reason, 'the bank has not given a final answer'), 500)
    WHERE p.merchant_id = p_merchant_id AND p.payout_id = p_payout.payout_id;

    -- since the first attempt, or since its file left
    SELECT
        greatest(
            min(a.send_before),
            (
                SELECT k.sent_at
                FROM rail.filed_instructions f
                INNER JOIN rail.payment_files k ON f.file_id = k.file_id
                WHERE f.merchant_id = p_merchant_id AND f.rail_ref = replace(p_payout.payout_id::text, '-', '')
            )
        )
    INTO v_sent_by
    FROM rail.attempts a
    WHERE a.merchant_id = p_merchant_id AND a.payout_id = p_payout.payout_id;
    IF p_now > coalesce(v_sent_by, p_payout.send_before) + v_rail.finality THEN
        PERFORM rail.open_case(
            'outcome_unknown', v_rail.rail, replace(p_payout.payout_id::text, '-', ''), p_merchant_id, p_payout.payout_id,
            p_payout.amount, p_payout.currency,
            'Beyond the time in which this bank is final, its answer is: ' || left(coalesce(p_reason, p_outcome), 500) || '.'
        );
    END IF;
    RETURN 'processing';
END
$$;
