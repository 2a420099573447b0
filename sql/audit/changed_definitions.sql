CREATE OR REPLACE VIEW audit.changed_definitions AS
SELECT
    coalesce(l.object, c.object) AS object,
    CASE WHEN l.object IS NULL THEN 'added' WHEN c.object IS NULL THEN 'removed' ELSE 'changed' END AS change
FROM audit.loaded_definitions l
FULL JOIN audit.current_definitions() c ON l.object = c.object
WHERE l.definition IS DISTINCT FROM c.definition;

COMMENT ON VIEW audit.changed_definitions IS 'Functions, triggers, views, constraints and grants are what the last migrate loaded.';
