-- Requests of many merchants that go down as one call.
-- depends: 0015-pages
CREATE TYPE payrail.addressed_request AS (
    merchant_id uuid,
    owner text,
    actor text,
    request payrail.payout_request
);
