-- Promises: what a payout takes of the available balance, for the details of refusals.
CREATE OR REPLACE FUNCTION payout.cost_in_words(p_amount bigint, p_fee bigint, p_currency text)
RETURNS text
LANGUAGE sql
IMMUTABLE
RETURN format(
    'the amount %s%s (minor units of %s)', p_amount, CASE WHEN p_fee > 0 THEN format(' and its fee %s', p_fee) END, p_currency
);
