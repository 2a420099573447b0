-- Money in every currency, and statements of it.
-- depends: 0011-batches
-- ISO 4217, list one, as SIX published it for the maintenance agency on 2026-01-01: every code that has a minor unit. (Precious
-- metals, the SDR, test codes and the like have none, and nobody is paid in them.)
INSERT INTO ledger.currencies (currency, exponent)
SELECT
    c.currency,
    d.exponent
FROM (
    VALUES
    (0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'),
    (
        2,
        'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW'
        || ' CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF'
        || ' IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK'
        || ' MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP'
        || ' SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG'
        || ' YER ZAR ZMW ZWG'
    ),
    (3, 'BHD IQD JOD KWD LYD OMR TND'),
    (4, 'CLF UYW')
) d (exponent, codes)
CROSS JOIN LATERAL unnest(string_to_array(d.codes, ' ')) c (currency)
ON CONFLICT (currency) DO NOTHING;

-- Which currencies a merchant has a ledger in: opened by the first entry of each (ledger.continue_chain), and never closed.
CREATE TABLE ledger.books (
    merchant_id uuid NOT NULL REFERENCES merchant.merchants,
    currency text NOT NULL REFERENCES ledger.currencies,
    PRIMARY KEY (merchant_id, currency)
);

INSERT INTO ledger.books (merchant_id, currency)
SELECT
    e.merchant_id,
    e.currency
FROM ledger.entries e
WHERE e.seq = 1;

-- What the audit found, each time that it was run: the newest is what monitoring shows.
CREATE TABLE merchant.audit_runs (
    run_id uuid PRIMARY KEY DEFAULT uuidv7(),
    checked_at timestamptz NOT NULL,
    took interval NOT NULL,
    actor text NOT NULL,
    findings jsonb NOT NULL
);

DROP FUNCTION IF EXISTS payrail.credit_merchant(uuid, bigint, text, text);
DROP FUNCTION IF EXISTS payrail.changes(uuid[], bigint[], bigint[]);
DROP FUNCTION IF EXISTS payrail.statement(uuid, date, date, bigint, text);
