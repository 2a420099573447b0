\set key random(1, 1000000000000000000)
SELECT count(p.status)
FROM public.merchants m, payrail.create_payouts(
    m.merchant_id,
    ARRAY(
        SELECT ROW('bench-' || :key || '-' || i, 1, 'INR', 'demo-bank-account', NULL, NULL, NULL, NULL, NULL, NULL, NULL)::payrail.payout_request
        FROM generate_series(1, 100) i
    )
) p
WHERE m.n = :merchant;
