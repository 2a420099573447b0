-- Promises: what a bank's files have booked otherwise than a payout asked for, or was told before, is a case: another sum, such as a
-- return less charges; a payment or a return a second time, under another reference; a refusal of what it has paid. Money that was given
-- back and is booked all the same is to be recovered. p_event_ids: the notices that are new.
-- Lock: expects the merchant's.
CREATE OR REPLACE FUNCTION rail.note_bookings(p_merchant_id uuid, p_rail text, p_event_ids text[])
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM rail.open_case(
        w.kind, p_rail, w.rail_ref, p_merchant_id, w.payout_id, w.bank_amount, w.bank_currency,
        CASE w.kind
            WHEN 'booked_twice' THEN 'The bank has booked the ' || w.booking || ' more than once (' || w.code || ').'
            WHEN 'contradiction' THEN 'The payout is ' || w.status || ', and the bank says refused (' || w.code || ').'
            WHEN 'money_to_recover'
                THEN 'The bank has paid (' || w.code || '), and another amount than the payout''s, what the merchant was given back.'
            ELSE 'The bank has booked a ' || w.booking || ' of another amount than the payout''s.'
        END,
        NULL,
        CASE w.kind WHEN 'booked_twice' THEN w.code ELSE w.booking END
    )
    FROM (
        SELECT
            n.rail_ref,
            n.code,
            p.payout_id,
            p.status,
            b.booking,
            b.amount AS bank_amount,
            b.currency AS bank_currency,
            CASE
                WHEN n.outcome = 'refused' AND p.utr IS NOT NULL THEN 'contradiction'
                WHEN b.booking IS NULL THEN NULL
                WHEN n.outcome = 'paid' AND rail.is_given_back(p.status)
                    AND NOT rail.is_of_sum(n.raw, p.amount, p.currency) THEN 'money_to_recover'
                WHEN NOT rail.is_of_sum(n.raw, p.amount, p.currency) THEN 'different_amount'
                WHEN EXISTS (
                    SELECT
                    FROM rail.notices o
                    WHERE
                        o.rail = p_rail
                        AND o.rail_ref = n.rail_ref
                        AND o.outcome = n.outcome
                        AND o.file_id IS NOT NULL
                        AND o.code <> n.code
                        AND (o.received_at, o.event_id) < (n.received_at, n.event_id)
                ) THEN 'booked_twice'
            END AS kind
        FROM rail.notices n
        INNER JOIN rail.instructions i ON n.rail_ref = i.rail_ref AND n.rail = i.rail
        INNER JOIN payout.payouts p ON p.merchant_id = p_merchant_id AND i.payout_id = p.payout_id
        CROSS JOIN LATERAL (
            SELECT
                CASE n.outcome WHEN 'paid' THEN 'payment' WHEN 'returned' THEN 'return' END AS booking,
                CASE
                    WHEN n.raw ->> 'amount' ~ '^[1-9][0-9]{0,14}$' THEN (n.raw ->> 'amount')::bigint
                END AS amount,
                n.raw ->> 'currency' AS currency
        ) b
        WHERE n.rail = p_rail AND n.event_id = ANY (p_event_ids) AND i.merchant_id = p_merchant_id
    ) w
    WHERE w.kind IS NOT NULL;
END
$$;
