-- Promises: whether a payout of this status has ended with its money available to the merchant, without having been paid: what its bank
-- pays all the same is to be recovered.
CREATE OR REPLACE FUNCTION rail.is_given_back(p_status text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
RETURN p_status IN ('failed', 'cancelled', 'rejected', 'expired');
