-- What payrail.prune looks for, by how old it is. Of the idempotency keys only the rejected ones are in an index: a payout pays for none.
-- depends: 0018-gathered
CREATE INDEX idempotency_keys_rejected ON payout.idempotency_keys (created_at)
WHERE payout_id IS NULL;

CREATE INDEX sessions_by_end ON merchant.sessions (expires_at);

-- A BRIN index is of use only while rows are in the order of their time: once old ones go, new ones are where they were.
DROP INDEX webhook.attempts_by_time;
CREATE INDEX attempts_by_time ON webhook.attempts (attempted_at);
