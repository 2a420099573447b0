-- The Citus shape of an installed PayRail database: run it once, as a superuser on the coordinator, after `payrail migrate` and
-- before any merchant is created. On plain PostgreSQL nothing loads it. docs/scale-out.md says why each table is where it is, and
-- tests/sql/test_scale_out.py holds it against the catalog: no table and no door may be forgotten here.
CREATE EXTENSION IF NOT EXISTS citus;

-- Citus calls every trigger unsafe that might look at another shard. Ours look at NEW, OLD and rows of the same merchant.
-- A migrate makes them anew, hence for every session to come, on each node.
SELECT set_config('citus.enable_unsafe_triggers', 'on', FALSE);
SELECT run_command_on_all_nodes(format('ALTER DATABASE %I SET citus.enable_unsafe_triggers = on', current_database()));

-- A door that runs on the coordinator reaches the other nodes as its owner. Their pg_hba.conf has to let it in, from the nodes only.
ALTER ROLE payrail_owner LOGIN;

-- From a table that every node has, or that only the coordinator has, no foreign key can lead into the shards. Whoever writes these
-- rows holds the merchant's lock, or has just read the merchant.
ALTER TABLE merchant.api_keys DROP CONSTRAINT api_keys_merchant_id_fkey;
ALTER TABLE merchant.operator_actions DROP CONSTRAINT operator_actions_merchant_id_fkey;

-- what all merchants share and hardly anybody writes: a copy on each node, which joins and foreign keys may use
SELECT create_reference_table('ledger.currencies');
SELECT create_reference_table('ledger.kinds');
SELECT create_reference_table('payout.transitions');
SELECT create_reference_table('payout.failure_codes');
SELECT create_reference_table('webhook.event_types');
SELECT create_reference_table('rail.rails');
SELECT create_reference_table('rail.modes');
SELECT create_reference_table('rail.fees');
SELECT create_reference_table('rail.holidays');
-- whose key it is has to be known before the merchant is; few rows, and read by every node that a client may come to
SELECT create_reference_table('merchant.api_keys');
SELECT create_reference_table('merchant.sessions');

-- a merchant's: all of one merchant on one node, so that a payout is one transaction there
SELECT create_distributed_table('merchant.merchants', 'merchant_id');
SELECT create_distributed_table('merchant.bank_accounts', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('merchant.rules', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('ledger.books', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('ledger.entries', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('payout.payouts', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('payout.idempotency_keys', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('payout.approvals', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('payout.usage', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('payout.batches', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('payout.batch_lines', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('payout.batch_answers', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('rail.attempts', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('rail.evidence', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('webhook.events', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('webhook.endpoints', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('webhook.deliveries', 'merchant_id', colocate_with => 'merchant.merchants');
SELECT create_distributed_table('webhook.attempts', 'merchant_id', colocate_with => 'merchant.merchants');

-- whose instruction it is has to be known before the merchant is, and there is one for each payout: by what a bank calls it
SELECT create_distributed_table('rail.instructions', 'rail_ref', colocate_with => 'none');
SELECT create_distributed_table('rail.filed_instructions', 'rail_ref', colocate_with => 'rail.instructions');

-- All else stays on the coordinator: operators, cases, reports, files and calls of banks, the audit's runs, the job queue.

-- the doors that stay on one merchant's node, which is where their calls go
SELECT create_distributed_function(d.door::regprocedure, 'p_merchant_id', colocate_with => 'merchant.merchants')
FROM (
    SELECT p.oid AS door
    FROM pg_proc p
    WHERE
        p.pronamespace = 'payrail'::regnamespace
        AND p.proargnames[1] = 'p_merchant_id'
        AND p.provolatile = 'v'
        -- these also write what is not on that node
        AND p.proname NOT IN (
            'claim_payouts',
            'create_api_key',
            'create_api_key_by_key',
            'credit_as_operator',
            'limit_api_key',
            'revoke_api_key',
            'revoke_api_key_by_key',
            'roll_api_key',
            'roll_api_key_by_key',
            'set_rules',
            'record_answers',
            'return_payout',
            'settle_payout',
            'settle_payouts',
            'fail_payout',
            'fail_payouts'
        )
) d;
