-- Promises: a case is open for the people who have to decide it; one that is open already stays as it is, and what they have decided of
-- one of the bank's bookings (p_booking) is not asked again.
-- Lock: expects the merchant's, if it is about a payout.
CREATE OR REPLACE FUNCTION rail.open_case(
    p_kind text,
    p_rail text,
    p_rail_ref text,
    p_merchant_id uuid,
    p_payout_id uuid,
    p_amount bigint,
    p_currency text,
    p_detail text,
    p_report_id uuid DEFAULT NULL,
    p_booking text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_now timestamptz := rail.clock();
BEGIN
    IF p_booking IS NOT NULL AND rail.is_decided(p_rail, p_rail_ref, p_kind, p_booking, p_amount, p_detail) THEN
        RETURN;
    END IF;
    INSERT INTO rail.cases (merchant_id, payout_id, kind, rail, rail_ref, report_id, booking, amount, currency, detail, opened_at)
    VALUES (
        p_merchant_id, p_payout_id, p_kind, p_rail, p_rail_ref, p_report_id, p_booking, p_amount, p_currency, p_detail, v_now
    )
    ON CONFLICT DO NOTHING;
END
$$;
