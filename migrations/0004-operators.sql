-- Who may use the operators' console, who is signed in to it, and what they did there. None of it is a merchant's.
-- depends: 0003-sessions
CREATE TABLE merchant.operators (
    name text PRIMARY KEY CONSTRAINT operator_name_plain CHECK (name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
    -- a PHC string, which has its own salt; reading this table signs nobody in
    password_hash text NOT NULL CONSTRAINT password_hash_is_argon2id CHECK (
        password_hash LIKE '$argon2id$%' AND length(password_hash) <= 255
    ),
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);

-- Keyed by SHA-256 of the cookie, as merchant.sessions. A session is its password's and ends with it, also if it is opened in the
-- same moment; how long it lasts otherwise is said in payrail.resume_operator_session.
CREATE TABLE merchant.operator_sessions (
    session_hash bytea PRIMARY KEY CONSTRAINT operator_session_hash_is_sha256 CHECK (octet_length(session_hash) = 32),
    name text NOT NULL REFERENCES merchant.operators,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- How often a password was tried since when, for names that exist and for those that do not.
CREATE TABLE merchant.operator_tries (
    name text PRIMARY KEY,
    tries integer NOT NULL,
    since timestamptz NOT NULL
);

-- What was done with the console and to its operators. Rows are only ever added.
CREATE TABLE merchant.operator_actions (
    action_id uuid PRIMARY KEY DEFAULT uuidv7(),
    acted_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL CONSTRAINT action_known CHECK (
        action IN ('operator_added', 'operator_password_set', 'operator_disabled', 'signed_in', 'merchant_credited')
    ),
    merchant_id uuid REFERENCES merchant.merchants,
    object text NOT NULL,
    detail jsonb
);

-- Evidence that contradicts a payout is rare, and what the console lists first.
CREATE INDEX evidence_contradicted ON rail.evidence (merchant_id, payout_id)
WHERE effect = 'contradicted';
