SELECT b.available
FROM public.merchants m
JOIN payrail.balances b USING (merchant_id)
WHERE m.n = :merchant AND b.currency = 'INR';
