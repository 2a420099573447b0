-- Promises: how many people have to approve a payout of this amount: 0, 1 or 2.
CREATE OR REPLACE FUNCTION payout.approvals_needed(p_rules merchant.rules, p_amount bigint)
RETURNS smallint
LANGUAGE plpgsql
IMMUTABLE
AS $$
BEGIN
    RETURN CASE
        WHEN p_amount >= p_rules.second_approval_from THEN 2
        WHEN p_amount >= p_rules.approve_from THEN 1
        ELSE 0
    END;
END
$$;
