-- A bank is told by which mode it is to pay: what is claimed and cut has one more column.
-- depends: 0016-fees 0017-narration 0018-gathered
DROP FUNCTION IF EXISTS payrail.claim_payouts(uuid, integer, interval, text, text[]);
DROP FUNCTION IF EXISTS payrail.cut_file(text, integer, interval);
