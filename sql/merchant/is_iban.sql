-- Promises: whether this has the shape of an IBAN and its check digits are right (ISO 13616, ISO 7064 mod 97-10), capital letters and no
-- spaces. How long one is in which country, the shell knows.
CREATE OR REPLACE FUNCTION merchant.is_iban(p_iban text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
RETURN CASE
    WHEN p_iban ~ '^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$' THEN (
        SELECT
            string_agg(
                CASE WHEN c.digit ~ '[A-Z]' THEN (ascii(c.digit) - 55)::text ELSE c.digit END, '' ORDER BY c.place
            )::numeric % 97 = 1
        FROM regexp_split_to_table(substr(p_iban, 5) || left(p_iban, 4), '') WITH ORDINALITY c (digit, place)
    )
    ELSE FALSE
END;
