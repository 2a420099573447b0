-- Promises: a merchant's profile and balances in minor units; NULL when there is no such merchant.
CREATE OR REPLACE FUNCTION payrail.me_json(p_merchant_id uuid)
RETURNS json
LANGUAGE sql
STABLE
RETURN (
    SELECT json_build_object(
        'id', m.merchant_id,
        'name', m.name,
        'created_at', payrail.utc(m.created_at),
        'available_paise', max(b.available) FILTER (WHERE b.currency = 'INR'),
        'held_paise', max(b.held) FILTER (WHERE b.currency = 'INR'),
        'balances', json_agg(
            json_build_object('currency', b.currency, 'available', b.available, 'held', b.held)
            ORDER BY b.currency
        )
    )
    FROM payrail.merchants m
    INNER JOIN payrail.balances b ON m.merchant_id = b.merchant_id
    WHERE m.merchant_id = p_merchant_id -- noqa: RF02
    GROUP BY m.merchant_id, m.name, m.created_at
);

COMMENT ON FUNCTION payrail.me_json IS 'A merchant as the API shows it: name, available and held balance in minor units.';
