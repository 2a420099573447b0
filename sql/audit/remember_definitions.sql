-- Loaded after everything else: what audit.changed_definitions compares with.
DELETE FROM audit.loaded_definitions;

INSERT INTO audit.loaded_definitions (object, definition)
SELECT
    c.object,
    c.definition
FROM audit.current_definitions() c;
