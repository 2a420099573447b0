CREATE OR REPLACE VIEW payrail.payout_batches AS
SELECT
    a.merchant_id,
    a.payout_id,
    a.batch_id,
    a.line
FROM payout.batch_answers a
WHERE a.payout_id IS NOT NULL AND NOT a.replayed;

COMMENT ON VIEW payrail.payout_batches IS
'Which line of which batch made a payout; one that was asked for without a batch, whatever batch has named its key again, is not here.';
