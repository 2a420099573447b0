-- Promises: a payout as every client sees it, with its history, oldest change first, who approved or rejected it, and its batch.
CREATE OR REPLACE FUNCTION payrail.payout_detail_json(p_payout payrail.payouts)
RETURNS json
LANGUAGE plpgsql
STABLE
AS $$
DECLARE
    v_history json;
    v_approvals json;
    v_batch json;
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
    SELECT coalesce(json_agg(row_to_json(d) ORDER BY d.at, d.approver), '[]') INTO v_approvals
    FROM (
        SELECT
            a.approver,
            a.decision,
            a.reason,
            payrail.utc(a.decided_at) AS at
        FROM payrail.approvals a
        WHERE a.merchant_id = p_payout.merchant_id AND a.payout_id = p_payout.payout_id
    ) d;
    SELECT to_json(b.batch_id) INTO v_batch
    FROM payrail.payout_batches b
    WHERE b.merchant_id = p_payout.merchant_id AND b.payout_id = p_payout.payout_id;
    -- the same document with three more fields
    RETURN left(payrail.payout_json(p_payout)::text, -1)
    || ',"batch_id":' || coalesce(v_batch, 'null')
    || ',"approvals":' || v_approvals
    || ',"history":' || v_history || '}';
END
$$;

COMMENT ON FUNCTION payrail.payout_detail_json IS 'A payout as the API shows it, with its batch, its approvals and its history.';
