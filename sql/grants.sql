-- Who may do what. Everything is revoked first, then each door and view is granted to each role by name; no role
-- but the owner can touch a table.
REVOKE ALL ON SCHEMA merchant, ledger, webhook, payout, rail, audit, payrail
FROM PUBLIC, payrail_api, payrail_worker, payrail_operator, payrail_auditor;
REVOKE ALL ON ALL TABLES IN SCHEMA merchant, ledger, webhook, payout, rail, audit, payrail
FROM PUBLIC, payrail_api, payrail_worker, payrail_operator, payrail_auditor;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA merchant, ledger, webhook, payout, rail, audit, payrail
FROM PUBLIC, payrail_api, payrail_worker, payrail_operator, payrail_auditor;

GRANT USAGE ON SCHEMA payrail TO payrail_api, payrail_worker, payrail_operator, payrail_auditor;

-- what a row looks like to a client
GRANT EXECUTE ON FUNCTION
    payrail.utc,
    payrail.problem,
    payrail.status_details,
    payrail.payout_json,
    payrail.payout_detail_json,
    payrail.payout_at,
    payrail.event_json,
    payrail.webhook_endpoint_json,
    payrail.webhook_delivery_json,
    payrail.ledger_entry_json,
    payrail.bank_account_json,
    payrail.api_key_json,
    payrail.me_json,
    payrail.batch_json,
    payrail.batch_line_json,
    payrail.rules_json
TO payrail_api, payrail_operator, payrail_auditor;

GRANT SELECT ON
    payrail.instance,
    payrail.merchants,
    payrail.api_keys,
    payrail.bank_accounts,
    payrail.balances,
    payrail.ledger_entries,
    payrail.ledger_lines,
    payrail.payouts,
    payrail.payout_history,
    payrail.approvals,
    payrail.rules,
    payrail.attempts,
    payrail.evidence,
    payrail.failure_codes,
    payrail.events,
    payrail.event_types,
    payrail.webhook_endpoints,
    payrail.webhook_deliveries,
    payrail.webhook_attempts,
    payrail.batches,
    payrail.batch_lines,
    payrail.payout_batches
TO payrail_api, payrail_operator, payrail_auditor;

-- merchants, through the API
GRANT EXECUTE ON FUNCTION
    payrail.authenticate,
    payrail.authenticate_keys,
    payrail.create_payout,
    payrail.create_payouts,
    payrail.create_payouts_for_many,
    payrail.cancel_payout,
    payrail.approve_payout,
    payrail.reject_payout
TO payrail_api;

-- merchants' keys, by those that manage keys, and batches
GRANT EXECUTE ON FUNCTION
    payrail.create_api_key_by_key,
    payrail.roll_api_key_by_key,
    payrail.revoke_api_key_by_key,
    payrail.check_payouts,
    payrail.create_batch,
    payrail.cancel_batch,
    payrail.add_bank_account,
    payrail.archive_bank_account
TO payrail_api;

-- webhooks
GRANT EXECUTE ON FUNCTION
    payrail.create_webhook_endpoint,
    payrail.update_webhook_endpoint,
    payrail.roll_webhook_secret,
    payrail.archive_webhook_endpoint,
    payrail.send_test_event,
    payrail.replay_events
TO payrail_api, payrail_operator;
GRANT EXECUTE ON FUNCTION payrail.due_endpoints, payrail.claim_deliveries, payrail.record_deliveries TO payrail_worker;
GRANT EXECUTE ON FUNCTION payrail.webhook_work, payrail.webhook_calls TO payrail_api, payrail_operator, payrail_auditor;
GRANT SELECT ON payrail.webhook_fleet TO payrail_operator, payrail_auditor;

-- merchants, through the dashboard
GRANT EXECUTE ON FUNCTION
    payrail.open_session,
    payrail.resume_session,
    payrail.close_session,
    payrail.daily_balances,
    payrail.daily_payouts,
    payrail.changes,
    payrail.awaiting_approval,
    payrail.is_under_review
TO payrail_api;

-- merchants, and operators for them
GRANT EXECUTE ON FUNCTION
    payrail.balances_at,
    payrail.statement,
    payrail.statement_lines
TO payrail_api, payrail_operator, payrail_auditor;

-- banks, by callback
GRANT EXECUTE ON FUNCTION payrail.receive_notices TO payrail_api;

-- monitoring
GRANT SELECT ON payrail.rails, payrail.rail_calls, payrail.audit_state TO payrail_api, payrail_operator, payrail_auditor;
GRANT SELECT ON payrail.modes, payrail.fees, payrail.holidays TO payrail_api, payrail_operator, payrail_auditor;
GRANT EXECUTE ON FUNCTION
    payrail.open_payouts,
    payrail.open_cases,
    payrail.open_batches,
    payrail.mode_hours
TO payrail_api, payrail_operator, payrail_auditor;

-- the worker
GRANT EXECUTE ON FUNCTION
    payrail.due_merchants,
    payrail.due_batches,
    payrail.advance_batch,
    payrail.waiting_merchants,
    payrail.advance_payouts,
    payrail.declare_rail,
    payrail.report_calls,
    payrail.claim_payouts,
    payrail.claim_payouts_for_many,
    payrail.record_answers,
    payrail.record_answers_for_many,
    payrail.receive_notices,
    payrail.queue_instructions,
    payrail.cut_file,
    payrail.store_file,
    payrail.claim_file,
    payrail.mark_file_sent,
    payrail.receive_file,
    payrail.ask_files,
    payrail.prune
TO payrail_worker;
GRANT SELECT ON payrail.notices TO payrail_worker;
GRANT USAGE ON SCHEMA procrastinate TO payrail_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA procrastinate TO payrail_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA procrastinate TO payrail_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA procrastinate TO payrail_worker;

-- operators
GRANT EXECUTE ON FUNCTION
    payrail.create_merchant,
    payrail.create_api_key,
    payrail.roll_api_key,
    payrail.revoke_api_key,
    payrail.limit_api_key,
    payrail.add_bank_account,
    payrail.archive_bank_account,
    payrail.credit_merchant,
    payrail.set_mode,
    payrail.remove_mode,
    payrail.set_fee,
    payrail.remove_fee,
    payrail.set_holiday,
    payrail.create_payout,
    payrail.create_payouts,
    payrail.cancel_payout,
    payrail.approve_payout,
    payrail.reject_payout,
    payrail.set_rules,
    payrail.advance_payouts,
    payrail.settle_payout,
    payrail.settle_payouts,
    payrail.fail_payout,
    payrail.fail_payouts,
    payrail.return_payout,
    payrail.check_payouts,
    payrail.create_batch,
    payrail.cancel_batch,
    payrail.due_batches,
    payrail.advance_batch,
    payrail.due_merchants
TO payrail_operator;
GRANT SELECT ON
    payrail.notices,
    payrail.cases,
    payrail.reports,
    payrail.files,
    payrail.file_items,
    payrail.operators,
    payrail.operator_actions,
    payrail.audit_runs
TO payrail_operator, payrail_auditor;

-- operators, through the console
GRANT EXECUTE ON FUNCTION
    payrail.add_operator,
    payrail.set_operator_password,
    payrail.disable_operator,
    payrail.try_operator,
    payrail.open_operator_session,
    payrail.resume_operator_session,
    payrail.close_operator_session,
    payrail.credit_as_operator,
    payrail.work,
    payrail.throughput,
    payrail.find_payouts,
    payrail.troubled_payouts,
    payrail.propose_resolution,
    payrail.decide_resolution
TO payrail_operator;

-- operators, against the bank's books
GRANT EXECUTE ON FUNCTION payrail.reconciliation, payrail.import_report TO payrail_operator;
GRANT EXECUTE ON FUNCTION payrail.reconciliation TO payrail_auditor;

-- auditors
GRANT USAGE ON SCHEMA audit TO payrail_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO payrail_auditor;
GRANT EXECUTE ON FUNCTION
    audit.current_definitions,
    -- a view calls its functions as whoever reads it
    ledger.entry_hash,
    payout.has_its_proof
TO payrail_auditor;
GRANT SELECT ON payrail.anchors TO payrail_operator, payrail_auditor;
GRANT EXECUTE ON FUNCTION payrail.audit_report, payrail.run_audit TO payrail_operator, payrail_auditor;
