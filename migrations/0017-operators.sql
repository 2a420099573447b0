-- Who changes a bank's fees, modes and holidays is on record; and no mode closes at 24:00, for which clients have no time.
-- depends: 0016-fees
ALTER TABLE merchant.operator_actions
DROP CONSTRAINT action_known,
ADD CONSTRAINT action_known CHECK (
    action IN (
        'operator_added', 'operator_password_set', 'operator_disabled', 'signed_in', 'merchant_credited',
        'resolution_proposed', 'resolution_confirmed', 'resolution_rejected', 'rules_set', 'fee_set', 'fee_removed',
        'mode_set', 'mode_removed', 'holiday_set', 'holiday_removed'
    )
);

UPDATE rail.modes SET closes = '23:59:59.999999'
WHERE closes = '24:00';

ALTER TABLE rail.modes ADD CONSTRAINT closes_before_midnight CHECK (closes < '24:00');

-- These say now who acts.
DROP FUNCTION IF EXISTS payrail.set_mode(
    text, text, text, text[], integer, bigint, bigint, time, time, smallint[], text, text
);
DROP FUNCTION IF EXISTS payrail.remove_mode(text, text, text);
DROP FUNCTION IF EXISTS payrail.set_holiday(text, date, text);
