-- Promises: the name of the first field of a webhook endpoint that can not be used; NULL if all can. In an installation that is not a demo
-- only https will do.
CREATE OR REPLACE FUNCTION payrail.webhook_field_problem(p_url text, p_event_types text[], p_description text, p_secret text)
RETURNS text
LANGUAGE plpgsql
STABLE
AS $$
BEGIN
    RETURN CASE
        WHEN
            (
                length(p_url) <= 2048
                AND p_url ~ '^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$'
                AND p_url !~ '[#\\]'
                AND (p_url !~ '^https?://\[' OR pg_input_is_valid(substring(p_url FROM '\[([^]]*:[^]]*)\]'), 'inet'))
                AND coalesce(substring(p_url FROM '^https?://(?:\[[^]]*\]|[^/?:]*):([0-9]{1,5})')::integer, 1) BETWEEN 1 AND 65535
                AND (p_url ~ '^https:' OR EXISTS (SELECT FROM payrail.instance i WHERE i.environment = 'demo'))
            ) IS NOT TRUE THEN 'url'
        WHEN
            cardinality(p_event_types) BETWEEN 1 AND 50 IS NOT TRUE
            OR EXISTS (
                SELECT
                FROM unnest(p_event_types) g (pattern)
                WHERE NOT EXISTS (
                    SELECT
                    FROM webhook.event_types t
                    WHERE g.pattern IN ('*', t.type, split_part(t.type, '.', 1) || '.*')
                )
            ) THEN 'event_types'
        WHEN length(p_description) NOT BETWEEN 1 AND 200 OR p_description ~ '[[:cntrl:]]' THEN 'description'
        WHEN (p_secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$') IS NOT TRUE THEN 'secret'
    END;
END
$$;

COMMENT ON FUNCTION payrail.webhook_field_problem IS 'Which field of a webhook endpoint can not be used.';
