CREATE OR REPLACE VIEW payrail.cases AS
SELECT
    c.case_id,
    c.kind,
    c.rail,
    c.rail_ref,
    c.merchant_id,
    m.name AS merchant_name,
    c.payout_id,
    p.status,
    c.amount::bigint AS amount,
    c.currency,
    c.detail,
    c.report_id,
    c.booking,
    c.opened_at,
    c.closed_at,
    c.closed_by,
    c.resolution,
    o.proposal_id,
    o.action AS proposed_action,
    o.code AS proposed_code,
    o.note AS proposed_note,
    o.proposed_by,
    o.proposed_at,
    p.amount::bigint AS payout_amount,
    p.currency AS payout_currency,
    p.fee AS payout_fee
FROM rail.cases c
LEFT JOIN merchant.merchants m ON c.merchant_id = m.merchant_id
LEFT JOIN payout.payouts p ON c.merchant_id = p.merchant_id AND c.payout_id = p.payout_id
LEFT JOIN rail.proposals o ON c.case_id = o.case_id AND o.decided_at IS NULL;

COMMENT ON VIEW payrail.cases IS
'What no rule can decide, and the proposal that waits for a second operator, if there is one. A case stays open until two operators have
resolved it, or the bank has answered. Amounts in minor units: the payout''s beside the one in question, which may be the bank''s. A larger case_id is newer.';
