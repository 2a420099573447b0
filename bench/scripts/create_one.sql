\set key random(1, 1000000000000000000)
SELECT p.status
FROM public.merchants m, payrail.create_payout(m.merchant_id, 'bench-' || :key, 1, 'demo-bank-account') p
WHERE m.n = :merchant;
