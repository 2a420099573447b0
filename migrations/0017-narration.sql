-- Who changes a bank's modes and holidays is on record; and what a bank is told carries the payout's narration.
-- depends: 0015-pages
ALTER TABLE merchant.operator_actions
DROP CONSTRAINT action_known,
ADD CONSTRAINT action_known CHECK (
    action IN (
        'operator_added', 'operator_password_set', 'operator_disabled', 'signed_in', 'merchant_credited',
        'resolution_proposed', 'resolution_confirmed', 'resolution_rejected', 'rules_set', 'fee_set', 'fee_removed',
        'mode_set', 'mode_removed', 'holiday_set', 'holiday_removed'
    )
);

DROP FUNCTION IF EXISTS payrail.set_mode(
    text, text, text, text[], integer, bigint, bigint, time, time, smallint[], text, text
);
DROP FUNCTION IF EXISTS payrail.remove_mode(text, text, text);
DROP FUNCTION IF EXISTS payrail.set_holiday(text, date, text);
DROP FUNCTION IF EXISTS payrail.claim_payouts(uuid, integer, interval, text, text[]);
DROP FUNCTION IF EXISTS payrail.cut_file(text, integer, interval);
DROP FUNCTION IF EXISTS payrail.changes(uuid[], bigint[], bigint[]);
