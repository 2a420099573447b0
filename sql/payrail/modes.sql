CREATE OR REPLACE VIEW payrail.modes AS
SELECT
    m.rail,
    m.mode,
    m.currency,
    m.accounts,
    m.amount_min::bigint AS amount_min,
    m.amount_max::bigint AS amount_max,
    m.rank,
    m.opens,
    m.closes,
    m.days,
    m.time_zone,
    m.calendar
FROM rail.modes m;

COMMENT ON VIEW payrail.modes IS
'How each bank moves money: which accounts, from and up to what sum (minor units), and when. days are 1 (Monday) to 7; NULL is any time or day.';
