-- What is looked up by its payout is in its index by the payout first, and by the merchant after it, whom every unique constraint names:
-- payout_ids rise with time, so what is new goes to the end of the index and fills its pages, instead of to a page of each merchant's,
-- of which there are as many as merchants and each stays half empty.
-- The new ones are built first: that keeps writers waiting, but readers only for the moment in which the old ones go.
-- depends: 0019-pruning
ALTER INDEX ledger.entries_once_per_payout RENAME TO entries_once_before;
CREATE UNIQUE INDEX entries_once_per_payout ON ledger.entries (
    payout_id, (CASE kind WHEN 'release' THEN 'settle' ELSE kind END), merchant_id
)
WHERE payout_id IS NOT NULL;
-- without the events that are of no payout, which would all be at its end
CREATE UNIQUE INDEX events_once_per_version ON webhook.events (payout_id, payout_version, merchant_id)
WHERE payout_id IS NOT NULL;
CREATE UNIQUE INDEX attempts_by_payout ON rail.attempts (payout_id, attempt, merchant_id);
CREATE UNIQUE INDEX evidence_by_payout ON rail.evidence (payout_id, evidence_id, merchant_id);

DROP INDEX ledger.entries_once_before;

ALTER TABLE webhook.events
DROP CONSTRAINT events_merchant_id_payout_id_payout_version_key;

ALTER TABLE rail.attempts
DROP CONSTRAINT attempts_pkey,
ADD CONSTRAINT attempts_pkey PRIMARY KEY USING INDEX attempts_by_payout;

ALTER TABLE rail.evidence
DROP CONSTRAINT evidence_pkey,
ADD CONSTRAINT evidence_pkey PRIMARY KEY USING INDEX evidence_by_payout;
