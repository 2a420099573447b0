\set source random(1, 1000)
\set destination 1 + (:source + random(0, 998)) % 1000
SELECT transfer(:source, :destination, 1);
