-- Promises: whether what a bank has booked is of this amount, in minor units of this currency.
CREATE OR REPLACE FUNCTION rail.is_of_sum(p_raw jsonb, p_amount bigint, p_currency text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
RETURN (p_raw ->> 'amount', p_raw ->> 'currency') IS NOT DISTINCT FROM (p_amount::text, p_currency);
