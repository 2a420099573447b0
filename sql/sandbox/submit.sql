-- Promises: each instruction {rail_ref, account_number, amount, currency} is executed at most once, whoever sends it
-- and however often: a known reference gets the answer of the first time, and the submission is counted. An
-- instruction whose answer gets lost has no row in the result. The dice is thrown by the seed and the reference, so
-- the same reference always falls on the same side.
-- Lock: the instructions' rows, in the order of references.
CREATE OR REPLACE FUNCTION sandbox.submit(p_instructions jsonb, p_seed bigint DEFAULT 1)
RETURNS TABLE (rail_ref text, state text, utr text, failure_code text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO sandbox.instructions AS known (
        rail_ref, account_number, amount, currency, failure_code, utr, answers_at, answer_lost
    )
    SELECT DISTINCT ON (i.rail_ref)
        i.rail_ref,
        i.account_number,
        i.amount,
        i.currency,
        n.failure_code,
        CASE WHEN n.failure_code IS NULL
            THEN 'SBOXN' || to_char(now(), 'YYYYMMDD') || lpad((nextval('sandbox.utr') % 1000000000)::text, 9, '0')
        END,
        now() + coalesce(n.delay, '0'),
        coalesce(n.answer_lost, FALSE)
    FROM jsonb_to_recordset(p_instructions) AS i (rail_ref text, account_number text, amount bigint, currency text)
    CROSS JOIN LATERAL sha256(convert_to(p_seed || ':' || i.rail_ref, 'UTF8')) AS dice
    LEFT JOIN LATERAL (
        SELECT t.*
        FROM sandbox.test_numbers t
        WHERE t.ending = right(i.account_number, 4) AND t.up_to > (get_byte(dice, 0) * 256 + get_byte(dice, 1)) % 100
        ORDER BY t.up_to
        LIMIT 1
    ) n ON TRUE
    ORDER BY i.rail_ref
    ON CONFLICT (rail_ref) DO UPDATE SET submissions = known.submissions + 1;

    RETURN QUERY
    SELECT answer.*
    FROM sandbox.instructions i
    CROSS JOIN sandbox.enquire(ARRAY[i.rail_ref]) AS answer
    WHERE i.rail_ref IN (SELECT r ->> 'rail_ref' FROM jsonb_array_elements(p_instructions) r) AND NOT i.answer_lost;
END
$$;

COMMENT ON FUNCTION sandbox.submit IS
'Sends instructions (a JSON array of {rail_ref, account_number, amount, currency}, amounts in minor units) to the pretend
bank. It executes a reference once. state is paid, refused or pending; a lost answer has no row.';
