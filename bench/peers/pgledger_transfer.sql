\set one random(1, 1000)
\set other 1 + (:one + random(0, 998)) % 1000
SELECT t.id
FROM transfer('pgla_' || lpad(:one::text, 26, '0'), 'pgla_' || lpad(:other::text, 26, '0'), 12.34) t;
