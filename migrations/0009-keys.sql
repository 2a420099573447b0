-- API keys have an owner, more scopes, and a limit on how often they are used.
-- depends: 0008-lifecycle
ALTER TABLE merchant.api_keys
-- Who acts with it, a person or a system. Whoever approves a payout must not be who asked for it, which can only be told of
-- keys that say whose they are.
ADD COLUMN owner text CONSTRAINT owner_plain CHECK (owner ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
ADD COLUMN reads_per_second integer NOT NULL DEFAULT 1000
CONSTRAINT reads_per_second_bounded CHECK (reads_per_second BETWEEN 1 AND 1000000),
ADD COLUMN writes_per_second integer NOT NULL DEFAULT 1000
CONSTRAINT writes_per_second_bounded CHECK (writes_per_second BETWEEN 1 AND 1000000),
-- The key that it was rolled to: an end of its own has been set, once.
ADD COLUMN replaced_by uuid,
DROP CONSTRAINT scopes_known,
ADD CONSTRAINT scopes_known CHECK (
    scopes <@ ARRAY[
        'read', 'payouts:create', 'payouts:approve', 'bank_accounts:write', 'webhooks:write', 'keys:write'
    ]
    AND cardinality(scopes) > 0
),
ADD CONSTRAINT approver_is_somebody CHECK (owner IS NOT NULL OR NOT scopes @> ARRAY['payouts:approve']);

-- Their rows have more columns now.
DROP FUNCTION IF EXISTS payrail.create_api_key(uuid, bytea, text, text, text[], timestamptz);
DROP FUNCTION IF EXISTS payrail.revoke_api_key(uuid, uuid);
DROP VIEW IF EXISTS payrail.api_keys;
DROP FUNCTION IF EXISTS payrail.resume_session(bytea);
DROP FUNCTION IF EXISTS payrail.open_session(bytea, bytea);
DROP FUNCTION IF EXISTS payrail.authenticate(bytea);
