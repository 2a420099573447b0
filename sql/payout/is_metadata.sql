-- Promises: whether this is metadata: a flat object of at most 20 keys (1 to 40 characters), each a string of at
-- most 500.
CREATE OR REPLACE FUNCTION payout.is_metadata(p_metadata jsonb)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
RETURN CASE jsonb_typeof(p_metadata)
    WHEN 'object' THEN (
        SELECT
            count(*) <= 20 AND coalesce(
                bool_and(
                    jsonb_typeof(m.value) = 'string'
                    AND length(m.key) BETWEEN 1 AND 40
                    AND length(m.value #>> '{}') <= 500
                ),
                TRUE
            )
        FROM jsonb_each(p_metadata) m
    )
    ELSE FALSE
END;
