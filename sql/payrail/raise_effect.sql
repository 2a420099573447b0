-- Promises: turns what a batch door says of one payout into an error, for the doors that take one.
-- Raises: PR109 utr_invalid, PR110 failure_code_unknown, PR111 return_code_invalid, PR201 the payout was not yet sent, PR202 it has
-- ended otherwise, PR211 resolution_too_early, PR241 outcome_still_unknown, PR302 balance_limit_exceeded, PR402, PR504.
CREATE OR REPLACE FUNCTION payrail.raise_effect(p_payout_id uuid, p_effect text, p_status text, p_detail text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    CASE coalesce(p_detail, p_effect)
        WHEN 'payout_not_found' THEN
            RAISE EXCEPTION 'no such payout of this merchant'
                USING ERRCODE = 'PR402', DETAIL = json_build_object('field', 'payout_id', 'payout_id', p_payout_id);
        WHEN 'utr_invalid' THEN
            RAISE EXCEPTION 'the bank''s reference (UTR) must be 1 to 35 characters'
                USING ERRCODE = 'PR109', DETAIL = json_build_object('field', 'utr');
        WHEN 'failure_code_unknown' THEN
            RAISE EXCEPTION 'not a final refusal: the code must be one of payrail.failure_codes'
                USING ERRCODE = 'PR110', DETAIL = json_build_object('field', 'failure_code');
        WHEN 'return_code_invalid' THEN
            RAISE EXCEPTION 'argument out of bounds'
                USING ERRCODE = 'PR111', DETAIL = json_build_object('field', 'return_code', 'minimum', 1, 'maximum', 35);
        WHEN 'balance_limit_exceeded' THEN
            RAISE EXCEPTION 'the balance would pass 10^18 minor units'
                USING ERRCODE = 'PR302', DETAIL = json_build_object('field', 'amount');
        WHEN 'second_operator_needed' THEN
            RAISE EXCEPTION 'that the bank never executed it takes two operators: resolve its case in the console'
                USING ERRCODE = 'PR504', DETAIL = json_build_object('field', 'failure_code', 'payout_id', p_payout_id);
        WHEN 'resolution_too_early' THEN
            RAISE EXCEPTION 'the bank may still execute the instruction'
                USING ERRCODE = 'PR211', DETAIL = json_build_object('field', 'failure_code', 'payout_id', p_payout_id);
        WHEN 'outcome_still_unknown' THEN
            RAISE EXCEPTION 'the bank has not said what became of the payout: settle it or fail it'
                USING ERRCODE = 'PR241', DETAIL = json_build_object('field', 'action', 'payout_id', p_payout_id);
        WHEN 'contradicted' THEN
            IF p_status IN ('pending', 'awaiting_approval', 'scheduled', 'queued') THEN
                RAISE EXCEPTION 'the payout can not go from its status to the one asked for'
                    USING ERRCODE = 'PR201',
                        DETAIL = json_build_object('field', 'status', 'payout_id', p_payout_id, 'current_status', p_status);
            END IF;
            RAISE EXCEPTION 'the payout has ended otherwise'
                USING ERRCODE = 'PR202',
                    HINT = 'To keep this as evidence, call the door''s batch form: it answers instead of raising.',
                    DETAIL = json_build_object('field', 'status', 'payout_id', p_payout_id, 'current_status', p_status);
        ELSE NULL;
    END CASE;
END
$$;

COMMENT ON FUNCTION payrail.raise_effect IS 'Raises what a batch door reports of one payout as an error.';
