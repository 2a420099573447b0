CREATE OR REPLACE VIEW payrail.operator_actions AS
SELECT
    a.action_id,
    a.acted_at,
    a.actor,
    a.action,
    a.merchant_id,
    m.name AS merchant_name,
    a.object,
    a.detail
FROM merchant.operator_actions a
LEFT JOIN merchant.merchants m ON a.merchant_id = m.merchant_id;

COMMENT ON VIEW payrail.operator_actions IS
'What was done with the console and to its operators: who, when, what, for which merchant. A larger action_id is newer.';
