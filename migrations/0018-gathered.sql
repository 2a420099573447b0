-- Requests of many merchants that go down as one call; and what is claimed, cut and changed has other columns now: a bank is told the mode
-- and the narration of a payout, and an approver how many wait.
-- depends: 0017-operators
CREATE TYPE payrail.addressed_request AS (
    merchant_id uuid,
    owner text,
    actor text,
    -- the SHA-256 of the API key that asks, if one does
    key_hash bytea,
    request payrail.payout_request
);

DROP FUNCTION IF EXISTS payrail.answer_request(uuid, payrail.payout_request, timestamptz, text, text);
DROP FUNCTION IF EXISTS payrail.claim_payouts(uuid, integer, interval, text, text[]);
DROP FUNCTION IF EXISTS payrail.cut_file(text, integer, interval);
DROP FUNCTION IF EXISTS payrail.changes(uuid[], bigint[], bigint[]);
