-- Promises: a payout as every client sees it, with its history, oldest change first.
CREATE OR REPLACE FUNCTION payrail.payout_detail_json(p_payout payrail.payouts)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_history json;
BEGIN
    SELECT json_agg(row_to_json(c) ORDER BY c.seq) INTO v_history
    FROM (
        SELECT
            h.seq,
            h.from_status AS "from",
            h.to_status AS "to",
            h.actor,
            h.reason,
            payrail.utc(h.created_at) AS at
        FROM payrail.payout_history h
        WHERE h.merchant_id = p_payout.merchant_id AND h.payout_id = p_payout.payout_id
    ) c;
    -- the same document with one more field
    RETURN left(payrail.payout_json(p_payout)::text, -1) || ',"history":' || v_history || '}';
END
$$;

COMMENT ON FUNCTION payrail.payout_detail_json IS 'A payout as the API shows it, with its history.';
