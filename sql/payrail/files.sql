CREATE OR REPLACE VIEW payrail.files AS
SELECT
    f.file_id,
    'out' AS direction,
    f.rail,
    'pain.001' AS kind,
    f.message_id,
    f.message_id || '.xml' AS name,
    f.cut_at AS noted_at,
    f.sent_at,
    f.instructions AS items,
    f.amount,
    f.currency,
    NULL AS error
FROM rail.payment_files f
UNION ALL
SELECT
    b.file_id,
    'in',
    b.rail,
    b.kind,
    b.message_id,
    b.name,
    b.received_at,
    NULL,
    b.notices,
    NULL,
    NULL,
    b.error
FROM rail.bank_files b;

COMMENT ON VIEW payrail.files IS
'What went to banks and came from them as files: items are the instructions or the notices in it, error says why one was refused, and
sent_at is when one of ours was in the outbox. Amounts in minor units. A larger file_id is newer.';
