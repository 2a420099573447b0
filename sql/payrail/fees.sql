CREATE OR REPLACE VIEW payrail.fees AS
SELECT
    f.rail,
    f.mode,
    f.currency,
    f.amount_from,
    f.fixed,
    f.basis_points
FROM rail.fees f;

COMMENT ON VIEW payrail.fees IS
'What a payout costs, by the mode in which its bank moves it and from which amount on: fixed, and basis_points (1 is 0.01%) of the amount. Minor units.';
