-- Promises: a payout as it was right after a change of its status, from what it is now: what it was asked for never changes, and each proof
-- belongs to the statuses that must show it. So an event says the same whenever it is read.
CREATE OR REPLACE FUNCTION payrail.payout_at(p_payout payrail.payouts, p_status text, p_changed_at timestamptz)
RETURNS payrail.payouts
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    p_payout.status := p_status;
    p_payout.updated_at := p_changed_at;
    p_payout.unknown_reason := NULL;
    IF p_status NOT IN ('settled', 'returned') THEN
        p_payout.settled_at := NULL;
        p_payout.utr := NULL;
    END IF;
    IF p_status <> 'returned' THEN
        p_payout.returned_at := NULL;
        p_payout.return_code := NULL;
    END IF;
    IF p_status <> 'failed' THEN
        p_payout.failure_code := NULL;
        p_payout.failure_reason := NULL;
    END IF;
    -- a payout waits until another time in each status in which it waits
    IF p_status <> 'expired' THEN
        p_payout.expires_at := NULL;
    END IF;
    RETURN p_payout;
END
$$;

COMMENT ON FUNCTION payrail.payout_at IS 'A payout as it was right after a change of its status.';
