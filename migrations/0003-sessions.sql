-- Who is signed in to the dashboard. A lookup table, keyed by what is looked up: SHA-256 of the cookie, so that reading
-- this table signs nobody in. A session is its API key's: it ends with the key, and has the key's scopes.
CREATE TABLE merchant.sessions (
    session_hash bytea PRIMARY KEY CONSTRAINT session_hash_is_sha256 CHECK (octet_length(session_hash) = 32),
    merchant_id uuid NOT NULL,
    api_key_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (merchant_id, api_key_id) REFERENCES merchant.api_keys (merchant_id, api_key_id)
);

CREATE INDEX sessions_by_key ON merchant.sessions (merchant_id, api_key_id);
