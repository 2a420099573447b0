-- What a payout costs: by the mode in which a bank moves it, and by its amount. It is said and fixed when the payout is created, held with
-- the payout, booked when it is settled, and released when it is not.
-- depends: 0015-pages

-- Of those that are not above a payout's amount, the one with the greatest amount_from is the payout's: fixed, and so many of 10,000 parts
-- of the amount, in minor units. The bounds leave room: a fee is at most 10^12 + 10^15.
CREATE TABLE rail.fees (
    rail text NOT NULL,
    mode text NOT NULL,
    currency text NOT NULL,
    amount_from bigint NOT NULL CONSTRAINT amount_from_bounded CHECK (amount_from BETWEEN 1 AND 1000000000000000),
    fixed bigint NOT NULL CONSTRAINT fixed_bounded CHECK (fixed BETWEEN 0 AND 1000000000000),
    basis_points integer NOT NULL CONSTRAINT basis_points_bounded CHECK (basis_points BETWEEN 0 AND 10000),
    PRIMARY KEY (rail, mode, currency, amount_from),
    FOREIGN KEY (rail, mode, currency) REFERENCES rail.modes
);

-- Its bound is payout.apply_transition's: one of the column's own would have every payout that is there written anew.
ALTER TABLE payout.payouts ADD COLUMN fee bigint NOT NULL DEFAULT 0;

-- The account of whoever runs this installation: what is in it has left the merchant's.
ALTER TABLE ledger.kinds
DROP CONSTRAINT accounts_known,
ADD CONSTRAINT accounts_known CHECK (
    debit_account IN ('available', 'held', 'external', 'fees') AND credit_account IN ('available', 'held', 'external', 'fees')
    AND debit_account <> credit_account
);

INSERT INTO ledger.kinds (kind, debit_account, credit_account, of_payout) VALUES ('fee', 'held', 'fees', TRUE);

-- One entry holds a payout and its fee. That a payout and a credit are at most 10^15 is payout.apply_transition's and
-- ledger.continue_chain's to say. One statement, as in 0008-lifecycle.
DO $$
BEGIN
    ALTER DOMAIN ledger.amount DROP CONSTRAINT amount_bounded;
    ALTER DOMAIN ledger.amount ADD CONSTRAINT amount_bounded CHECK (VALUE BETWEEN 1 AND 2001000000000000);
END
$$;

DROP VIEW IF EXISTS audit.payout_entries;
DROP FUNCTION IF EXISTS rail.choose_mode(text, text, text, bigint, text, timestamptz);

ALTER TYPE payrail.payout_document ADD ATTRIBUTE fee bigint;
ALTER TYPE payrail.batch_line_document ADD ATTRIBUTE fee bigint;
