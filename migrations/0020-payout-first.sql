-- What is looked up by its payout is in its index by the payout first, and by the merchant after it, whom every unique constraint names:
-- payout_ids rise with time, so what is new goes to the end of the index and fills its pages, instead of to a page of each merchant's,
-- of which there are as many as merchants and each stays half empty.
-- depends: 0019-pruning
DROP INDEX ledger.entries_once_per_payout;
CREATE UNIQUE INDEX entries_once_per_payout ON ledger.entries (
    payout_id, (CASE kind WHEN 'release' THEN 'settle' ELSE kind END), merchant_id
)
WHERE payout_id IS NOT NULL;

ALTER TABLE webhook.events
DROP CONSTRAINT events_merchant_id_payout_id_payout_version_key;
-- without the events that are of no payout, which would all be at its end
CREATE UNIQUE INDEX events_once_per_version ON webhook.events (payout_id, payout_version, merchant_id)
WHERE payout_id IS NOT NULL;

ALTER TABLE rail.attempts
DROP CONSTRAINT attempts_pkey,
ADD PRIMARY KEY (payout_id, attempt, merchant_id);

-- rail.retry_problem asks the bank's evidence, too
DROP FUNCTION IF EXISTS payout.retry_problem(uuid, uuid);

ALTER TABLE rail.evidence
DROP CONSTRAINT evidence_pkey,
ADD PRIMARY KEY (payout_id, evidence_id, merchant_id);
