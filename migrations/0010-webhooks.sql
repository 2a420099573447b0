-- Events that are not a payout's, and where a merchant wants to be told of events: endpoints, what is to be sent to each, and every
-- attempt to. Nothing here is written by a payout's transaction: a worker follows the events with a cursor per endpoint.
-- depends: 0009-keys
DROP VIEW IF EXISTS payrail.events;

-- A row is a payout's, or has a type and says what it is about (data); audit.missing_events holds that.
ALTER TABLE webhook.events
ALTER COLUMN payout_id DROP NOT NULL,
ALTER COLUMN payout_version DROP NOT NULL,
ALTER COLUMN to_status DROP NOT NULL,
ADD COLUMN type text,
ADD COLUMN data json;

CREATE TABLE webhook.event_types (
    type text PRIMARY KEY CHECK (type ~ '^[a-z]+\.[a-z_]+$'),
    description text NOT NULL
);

INSERT INTO webhook.event_types (type, description) VALUES
('payout.created', 'A payout was requested and its money is held.'),
('payout.queued', 'A payout waits until there is enough money.'),
('payout.scheduled', 'A payout waits for its time.'),
('payout.awaiting_approval', 'A payout waits for somebody to approve it.'),
('payout.approved', 'A payout was approved.'),
('payout.rejected', 'A payout was not approved; its money is available again.'),
('payout.expired', 'A payout waited too long; its money is available again.'),
('payout.pending', 'A payout is waiting to be sent to the bank.'),
('payout.processing', 'A payout is on its way to the bank.'),
('payout.settled', 'The bank has paid.'),
('payout.failed', 'The bank has refused; the money is available again.'),
('payout.cancelled', 'A payout was cancelled; its money is available again.'),
('payout.returned', 'The money of a settled payout came back.'),
('balance.credited', 'Money has arrived.'),
('endpoint.disabled', 'Nothing is sent to a webhook endpoint any more.'),
('endpoint.test', 'A test that you asked for; it goes to one endpoint only.');

-- Where a merchant wants to be told of events. cursor is the number of the newest event that was looked at; claim counts who has taken
-- it to send, until not_before. The secrets are kept as they are: whoever signs needs them.
CREATE TABLE webhook.endpoints (
    merchant_id uuid NOT NULL REFERENCES merchant.merchants,
    endpoint_id uuid NOT NULL DEFAULT uuidv7(),
    url text NOT NULL CONSTRAINT url_well_formed CHECK (
        length(url) <= 2048 AND url ~ '^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$' AND url !~ '[#\\]'
    ),
    description text CONSTRAINT description_bounded CHECK (length(description) BETWEEN 1 AND 200),
    event_types text[] NOT NULL CONSTRAINT event_types_given CHECK (cardinality(event_types) BETWEEN 1 AND 50),
    secret text NOT NULL CONSTRAINT secret_well_formed CHECK (secret ~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$'),
    previous_secret text,
    previous_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    disabled_reason text CONSTRAINT disabled_reason_known CHECK (disabled_reason IN ('by_merchant', 'gone', 'failing')),
    archived_at timestamptz,
    cursor bigint NOT NULL,
    claim bigint NOT NULL DEFAULT 0,
    not_before timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    succeeded_at timestamptz,
    PRIMARY KEY (merchant_id, endpoint_id),
    CONSTRAINT disabled_for_a_reason CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);

-- One address is told once.
CREATE UNIQUE INDEX endpoints_by_url ON webhook.endpoints (merchant_id, url)
WHERE archived_at IS NULL;

-- What is to be sent to an endpoint, was, or was given up. What has no row yet is behind its cursor.
CREATE TABLE webhook.deliveries (
    merchant_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    seq bigint NOT NULL,
    status text NOT NULL DEFAULT 'pending' CONSTRAINT delivery_status_known CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    queued_at timestamptz NOT NULL,
    first_attempt_at timestamptz,
    next_attempt_at timestamptz,
    delivered_at timestamptz,
    PRIMARY KEY (merchant_id, endpoint_id, seq),
    FOREIGN KEY (merchant_id, endpoint_id) REFERENCES webhook.endpoints,
    FOREIGN KEY (merchant_id, seq) REFERENCES webhook.events,
    CONSTRAINT due_while_pending CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
);

CREATE INDEX deliveries_pending ON webhook.deliveries (merchant_id, endpoint_id, seq)
WHERE status = 'pending';

-- What an endpoint said to each attempt, or why it could not be asked.
CREATE TABLE webhook.attempts (
    merchant_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    seq bigint NOT NULL,
    attempt_id uuid NOT NULL DEFAULT uuidv7(),
    attempted_at timestamptz NOT NULL,
    delivered boolean NOT NULL,
    response_status smallint,
    took interval NOT NULL,
    error text CONSTRAINT error_bounded CHECK (length(error) BETWEEN 1 AND 500),
    body_head text CONSTRAINT body_head_bounded CHECK (length(body_head) <= 1024),
    PRIMARY KEY (merchant_id, endpoint_id, seq, attempt_id),
    FOREIGN KEY (merchant_id, endpoint_id, seq) REFERENCES webhook.deliveries
);

CREATE INDEX attempts_by_time ON webhook.attempts USING brin (attempted_at);

CREATE TYPE payrail.delivery_result AS (
    seq bigint,
    attempted_at timestamptz,
    delivered boolean,
    response_status smallint,
    took interval,
    error text,
    body_head text,
    retry_after interval
);
