\set n random(1, 1000)
\set key random(1, 1000000000000000000)
SELECT (
    payrail.create_payout(
        ('00000000-0000-7000-8000-' || lpad(:n, 12, '0'))::uuid, 'bench-' || :key, 100, 'demo-bank-account'
    )
).status;
