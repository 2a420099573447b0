CREATE OR REPLACE VIEW payrail.instance AS
SELECT
    i.environment,
    i.created_at
FROM merchant.instance i;

COMMENT ON VIEW payrail.instance IS 'What this installation was created as: demo or live.';
