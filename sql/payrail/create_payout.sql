-- Promises: as payrail.create_payouts, for one.
-- Lock, raises: as payrail.create_payouts.
CREATE OR REPLACE FUNCTION payrail.create_payout(
    p_merchant_id uuid,
    p_idempotency_key text,
    p_amount bigint,
    p_bank_account_id text,
    p_currency text DEFAULT 'INR',
    p_scheduled_at timestamptz DEFAULT NULL,
    p_queue_if_low_balance boolean DEFAULT FALSE,
    p_reference text DEFAULT NULL,
    p_metadata jsonb DEFAULT NULL,
    p_narration text DEFAULT NULL,
    p_retry_of uuid DEFAULT NULL,
    p_mode text DEFAULT NULL,
    p_owner text DEFAULT NULL,
    p_actor text DEFAULT NULL
)
RETURNS payrail.answer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM merchant.lock_merchant(p_merchant_id);
    RETURN (
        payrail.answer_requests(
            ARRAY[p_merchant_id],
            ARRAY[
                ROW(
                    p_merchant_id,
                    p_owner,
                    p_actor,
                    NULL,
                    ROW(
                        p_idempotency_key, p_amount, p_currency, p_bank_account_id, p_reference, p_metadata,
                        p_scheduled_at, p_queue_if_low_balance, p_narration, p_retry_of, p_mode
                    )::payrail.payout_request
                )::payrail.addressed_request
            ],
            rail.clock()
        )
    )[1];
END
$$;

COMMENT ON FUNCTION payrail.create_payout IS
'Creates a payout and holds its money, now or at p_scheduled_at; with p_queue_if_low_balance it waits for money that is not there.
Returns the HTTP status (201 created, 400/422 rejected), the JSON body, and whether it is the stored answer to an idempotency key seen
before. p_amount in minor units (paise), 1 to 10^15. p_retry_of: the payout that this one is to make up for. p_mode: how
its bank moves it (payrail.modes); by default the bank''s first that is open. p_owner: the person who asks, who can not approve it.';
