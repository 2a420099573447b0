CREATE OR REPLACE VIEW payrail.operators AS
SELECT
    o.name,
    o.created_at,
    o.disabled_at
FROM merchant.operators o;

COMMENT ON VIEW payrail.operators IS 'Who may sign in to the console, and who no longer may.';
