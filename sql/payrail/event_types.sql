CREATE OR REPLACE VIEW payrail.event_types AS
SELECT
    t.type,
    t.description
FROM webhook.event_types t;

COMMENT ON VIEW payrail.event_types IS 'The types that an event may have.';
