CREATE OR REPLACE VIEW payrail.merchants AS
SELECT
    m.merchant_id,
    m.name,
    m.created_at
FROM merchant.merchants m;

COMMENT ON VIEW payrail.merchants IS 'Merchants.';
