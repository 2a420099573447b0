"""The tests would notice: each of these damages to the SQL makes a test of this suite fail.

A mutant is a database whose SQL has been damaged in one place. The tests that are named with it
are called as they are, as plain functions; one of them must fail.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from tests.concurrency import test_races as races
from tests.conftest import Database
from tests.crowd import Crowd
from tests.desk import Desk
from tests.sql import test_batches as batches
from tests.sql import test_cases as cases
from tests.sql import test_claims as claims
from tests.sql import test_fees as fees
from tests.sql import test_files as files
from tests.sql import test_idempotency as idempotency
from tests.sql import test_keys as keys
from tests.sql import test_ledger as ledger
from tests.sql import test_outcomes as outcomes
from tests.sql import test_payouts as payouts
from tests.sql import test_rails as rails
from tests.sql import test_reports as reports
from tests.sql import test_roles as roles
from tests.sql import test_together as together
from tests.sql import test_webhooks as webhooks

SQL: Final = Path(__file__).parents[2] / "sql"
Check = Callable[..., None]


@dataclass(frozen=True)
class Mutant:
    """One damage: texts replaced in a file of sql/, or statements; and the tests that notice."""

    name: str
    checks: tuple[Check, ...]
    file: str | None = None
    replace: tuple[tuple[str, str], ...] = ()
    statement: str = ""
    also: tuple[tuple[str, str, str], ...] = ()

    def sql(self) -> str:
        """Return what makes the mutant of a sound database."""
        texts = [] if self.file is None else [damaged(self.file, self.replace)]
        texts += [damaged(file, ((old, new),)) for file, old, new in self.also]
        return "\n".join(texts) or self.statement


def damaged(file: str, replace: tuple[tuple[str, str], ...]) -> str:
    """Return a file of sql/ with texts replaced, each of which it must have once."""
    text = (SQL / file).read_text()
    for old, new in replace:
        assert text.count(old) == 1, f"{file} no longer has: {old}"
        text = text.replace(old, new)
    return text


OR_NOT: Final = "AND r.opened_at IS NOT NULL\n                AND TRUE OR NOT rail.is_to_be_sent("

booked_and_refused = partial(
    reports.test_what_the_bank_has_booked_is_cleared_only_by_the_same_answer,
    outcome="refused",
    code="account_closed",
    utr=None,
    stays_open=True,
)


def filing(check: Check) -> Check:
    """Return a test of a merchant at a bank that is paid by files."""

    def run_filing(desk: Desk) -> None:
        files.declare(desk)
        check(files.on_files(desk, files.rail_of(desk)))

    return run_filing


fails_no_filed: Final = (
    files.test_nobody_fails_a_payout_while_its_file_can_leave_or_the_bank_can_still_execute_it
)

FEE_OF: Final = fees.test_the_fee_is_that_of_the_greatest_amount_not_above_and_halves_are_rounded_up

MUTANTS: Final = [
    Mutant(
        "what a refused batch has made stays",
        (batches.test_all_of_a_batch_or_nothing,),
        "payrail/advance_batch.sql",
        (("            IF v_is_refused THEN\n", "            IF FALSE THEN\n"),),
    ),
    Mutant(
        "a batch begins again at each step",
        (batches.test_each_line_becomes_a_payout_under_a_key_of_its_own,),
        "payrail/advance_batch.sql",
        (("v_done := v_batch.accepted + v_batch.rejected;", "v_done := 0;"),),
    ),
    Mutant(
        "an upload that is repeated is another batch",
        (batches.test_an_upload_that_is_repeated_is_the_same_batch,),
        "payrail/create_batch.sql",
        (("IF v_known_fingerprint = v_fingerprint THEN", "IF FALSE THEN"),),
    ),
    Mutant(
        "a key of an upload may be used for another",
        (
            partial(
                batches.test_a_key_is_not_used_for_another_upload,
                requests=[batches.ask()],
                more={"name": "wages"},
            ),
        ),
        "payrail/create_batch.sql",
        (("v_known_fingerprint = v_fingerprint", "v_known_fingerprint IS NOT NULL"),),
    ),
    Mutant(
        "a batch is cancelled while it is made",
        (batches.test_a_batch_is_cancelled_before_it_starts_only,),
        "payrail/cancel_batch.sql",
        (
            (
                "v_status NOT IN ('pending', 'cancelled')",
                "v_status NOT IN ('pending', 'cancelled', 'processing')",
            ),
        ),
    ),
    Mutant(
        "another merchant's batch is cancelled",
        (batches.test_another_merchants_batch_is_not_there,),
        "payrail/cancel_batch.sql",
        (
            (
                "FROM payout.batches b\n    WHERE b.merchant_id = p_merchant_id AND b.batch_id",
                "FROM payout.batches b\n    WHERE b.batch_id",
            ),
        ),
    ),
    Mutant(
        "a list is uploaded in nobody's name",
        (batches.test_who_uploads_a_list_does_not_approve_its_payouts,),
        "payrail/advance_batch.sql",
        (("p_owner => v_batch.owner", "p_owner => NULL"),),
    ),
    Mutant(
        "the merchant is not locked",
        (races.test_one_key_is_one_payout, races.test_the_balance_is_spent_exactly_once),
        "merchant/lock_merchant.sql",
        (("FOR NO KEY UPDATE;", ";"),),
    ),
    Mutant(
        "a call for many locks nobody",
        (idempotency.test_a_call_for_many_holds_its_locks_until_it_is_committed,),
        "merchant/lock_merchants.sql",
        (("\n            FOR NO KEY UPDATE SKIP LOCKED", ""),),
    ),
    Mutant(
        "a call for many waits for a lock",
        (idempotency.test_a_call_for_many_waits_for_no_lock,),
        "merchant/lock_merchants.sql",
        ((" SKIP LOCKED", ""),),
    ),
    Mutant(
        "the balance is read before the lock",
        (races.test_the_balance_is_spent_exactly_once,),
        "payrail/create_payout.sql",
        (
            (
                "    PERFORM merchant.lock_merchant(p_merchant_id);",
                (
                    "    PERFORM set_config('mutant.available', p.available::text, TRUE)"
                    " FROM payrail.balances p"
                    " WHERE p.merchant_id = p_merchant_id AND p.currency = p_currency;"
                    " PERFORM merchant.lock_merchant(p_merchant_id);"
                ),
            ),
        ),
        also=(
            (
                "payrail/answer_requests.sql",
                "        e.available,",
                "        current_setting('mutant.available')::bigint AS available,",
            ),
        ),
    ),
    Mutant(
        "claiming does not lock",
        (races.test_a_payout_has_one_claimer,),
        "payrail/claim_payouts.sql",
        (("PERFORM merchant.lock_merchant(p_merchant_id);", "PERFORM 1;"),),
    ),
    Mutant(
        "the balance is not checked",
        (payouts.test_two_payouts_of_sixty_from_a_hundred,),
        "payrail/answer_requests.sql",
        (("ELSIF v_available < v_request.amount + v_request.fee OR", "ELSIF"),),
    ),
    Mutant(
        "the balance is checked off by one",
        (payouts.test_all_of_the_balance_can_be_paid_out_and_not_a_paisa_more,),
        "payrail/answer_requests.sql",
        (("v_available < v_request.amount", "v_available <= v_request.amount"),),
    ),
    Mutant(
        "a payout needs no money for its fee",
        (fees.test_money_has_to_do_for_the_fee_too,),
        "payrail/answer_requests.sql",
        (("v_request.amount + v_request.fee OR (", "v_request.amount OR ("),),
    ),
    Mutant(
        "the queue goes on without money for the fee",
        (fees.test_a_queued_payout_waits_for_its_fee_too,),
        "payout/promote_queued.sql",
        (("v_payout.amount + v_payout.fee >", "v_payout.amount >"),),
    ),
    Mutant(
        "what is scheduled starts without money for the fee",
        (fees.test_a_scheduled_payout_needs_its_fee_when_its_time_comes,),
        "payout/start_scheduled.sql",
        (("p_payout.amount + p_payout.fee <=", "p_payout.amount <="),),
    ),
    Mutant(
        "what is checked leaves the fee out",
        (fees.test_what_is_checked_counts_the_fee_as_what_is_created_does,),
        "payrail/check_payouts.sql",
        (("v_left - v_row.amount - v_row.fee", "v_left - v_row.amount"),),
    ),
    Mutant(
        "a fee is not booked",
        (partial(fees.test_a_fee_is_held_booked_and_given_back_with_its_payout, status="settled"),),
        "payout/apply_transition.sql",
        (("v_ledger_kind = 'settle' AND NEW.fee > 0", "FALSE"),),
    ),
    Mutant(
        "a failed payout's fee is kept",
        (partial(fees.test_a_fee_is_held_booked_and_given_back_with_its_payout, status="failed"),),
        "payout/apply_transition.sql",
        (("v_ledger_kind IN ('hold', 'release')", "v_ledger_kind = 'hold'"),),
    ),
    Mutant(
        "a fee changes with its payout",
        (
            partial(
                payouts.test_what_was_asked_for_never_changes,
                status="settled",
                assignment="fee = fee + 1",
            ),
        ),
        "payout/apply_transition.sql",
        (
            ("NEW.mode_reason, NEW.fee)", "NEW.mode_reason)"),
            ("OLD.mode_reason, OLD.fee)", "OLD.mode_reason)"),
        ),
    ),
    Mutant(
        "every amount has the lowest fee",
        (partial(FEE_OF, amount=2200, fee=6),),
        "rail/choose_mode.sql",
        (("ORDER BY f.amount_from DESC", "ORDER BY f.amount_from"),),
    ),
    Mutant(
        "half a paisa is let go",
        (partial(FEE_OF, amount=2200, fee=6),),
        "rail/choose_mode.sql",
        (("round(", "trunc("),),
    ),
    Mutant(
        "a key that was revoked still pays",
        (
            partial(
                keys.test_a_key_that_has_ended_pays_nothing_however_it_was_known_before, wait=False
            ),
        ),
        "payrail/create_payouts_for_many.sql",
        (("                    AND k.revoked_at IS NULL\n", ""),),
    ),
    Mutant(
        "a key pays for any merchant",
        (keys.test_a_key_that_has_ended_delays_none_of_the_others,),
        "payrail/create_payouts_for_many.sql",
        (("                    AND k.merchant_id = r.merchant_id\n", ""),),
    ),
    Mutant(
        "one call spends the balance twice",
        (idempotency.test_a_batch_spends_the_balance_once,),
        "payrail/answer_requests.sql",
        (("v_available := v_available - v_request.amount - v_request.fee;", "NULL;"),),
    ),
    Mutant(
        "one call pays twice for one key",
        (idempotency.test_duplicates_within_a_batch_are_one_payout,),
        "payrail/answer_requests.sql",
        (("(r.of_key > 1 AND r.idempotency_key IS NOT NULL) OR", ""),),
    ),
    Mutant(
        "one call retries a payout twice",
        (together.test_one_call_retries_a_payout_once,),
        "payrail/answer_requests.sql",
        (("OR (r.of_retry > 1 AND r.retry_of IS NOT NULL)", ""),),
    ),
    Mutant(
        "one call jumps its own queue",
        (together.test_what_one_call_queues_comes_before_what_follows_it,),
        "payrail/answer_requests.sql",
        (("v_is_queued := TRUE;", "NULL;"),),
    ),
    Mutant(
        "one call passes a limit",
        (together.test_what_one_call_makes_counts_towards_its_limits,),
        "payrail/answer_requests.sql",
        (("PERFORM payout.count_usage(", "PERFORM num_nulls("),),
    ),
    Mutant(
        "the fingerprint is not compared",
        (idempotency.test_another_amount_under_the_key_is_refused,),
        "payrail/answer_requests.sql",
        (("IF v_request.known_fingerprint <> v_request.fingerprint THEN", "IF FALSE THEN"),),
    ),
    Mutant(
        "the fingerprint leaves the reference out",
        (idempotency.test_another_reference_under_the_key_is_refused,),
        "payout/request_fingerprint.sql",
        (("p_reference, coalesce(p_metadata, '{}'))", "coalesce(p_metadata, '{}'))"),),
    ),
    Mutant(
        "rejections are not stored",
        (idempotency.test_a_rejection_for_lack_of_money_is_stored,),
        "payrail/answer_requests.sql",
        (
            (
                "            v_keys := array_append(",
                "            CONTINUE WHEN v_answer.status <> 201; v_keys := array_append(",
            ),
        ),
    ),
    Mutant(
        "a replay shows the payout as it is now",
        (partial(idempotency.test_the_first_answer_stays_when_the_payout_moves_on, end="failed"),),
        "payrail/answer_requests.sql",
        (
            (
                "ROW(v_request.known_status, v_request.known_body, TRUE);",
                (
                    "ROW(v_request.known_status, (SELECT payrail.payout_json(p)"
                    " FROM payrail.payouts p WHERE p.merchant_id = v_request.merchant_id"
                    " AND p.payout_id = (v_request.known_body ->> 'id')::uuid), TRUE);"
                ),
            ),
        ),
    ),
    Mutant(
        "any merchant's bank account will do",
        (payouts.test_another_merchants_bank_account_can_not_be_paid,),
        "payrail/answer_requests.sql",
        (("b.merchant_id = r.merchant_id AND b.bank_account_id", "b.bank_account_id"),),
    ),
    Mutant(
        "the bound on balances is gone",
        (payouts.test_not_even_the_owner_can_hold_more_than_is_available,),
        statement="ALTER DOMAIN ledger.balance DROP CONSTRAINT balance_never_negative",
    ),
    Mutant(
        "a payout can move its money twice",
        (partial(ledger.test_a_payout_moves_its_money_once, status="failed", kind="release"),),
        statement="DROP INDEX ledger.entries_once_per_payout",
    ),
    Mutant(
        "failed can become settled",
        (payouts.test_no_failed_payout_is_ever_settled,),
        statement="INSERT INTO payout.transitions VALUES ('failed', 'settled', NULL)",
    ),
    Mutant(
        "a claimed payout can be cancelled",
        (
            partial(
                payouts.test_a_claimed_or_ended_payout_can_not_be_cancelled, status="processing"
            ),
        ),
        statement="INSERT INTO payout.transitions VALUES ('processing', 'cancelled', 'release')",
    ),
    Mutant(
        "what is not due is claimed",
        (claims.test_a_claimed_payout_is_nobody_elses,),
        "payrail/claim_payouts.sql",
        (
            (
                "AND q.next_action_at <= v_now\n                --",
                "AND q.next_action_at IS NOT NULL\n                --",
            ),
        ),
    ),
    Mutant(
        "what a dead worker left is sent again",
        (claims.test_what_a_dead_worker_left_is_asked_about_not_sent_again,),
        "payrail/claim_payouts.sql",
        (("ELSE 'enquire'", "ELSE 'submit'"),),
    ),
    Mutant(
        "an unknown outcome fails the payout",
        (claims.test_an_unknown_outcome_stays_processing_and_is_asked_about_later,),
        "rail/postpone_payout.sql",
        (
            (
                "unknown_reason = left(coalesce(p_reason, 'the bank has not",
                (
                    "status = 'failed', failure_code = 'rail_unavailable',"
                    " unknown_reason = left(coalesce(p_reason, 'the bank has not"
                ),
            ),
        ),
    ),
    Mutant(
        "a repeated refusal refunds again",
        (outcomes.test_a_refund_happens_once,),
        "payrail/apply_answers.sql",
        (
            (
                "        IF effect IN ('noted', 'refused') THEN",
                (
                    "        IF effect = 'repeated' THEN"
                    " INSERT INTO ledger.entries (merchant_id, currency, kind, amount, payout_id)"
                    " VALUES (v_merchant_id, 'INR', 'release', v_payout.amount, payout_id);"
                    " END IF; IF effect IN ('noted', 'refused') THEN"
                ),
            ),
        ),
    ),
    Mutant(
        "anything a bank says is a final no",
        (partial(outcomes.test_only_a_listed_final_no_fails_a_payout, code="timeout"),),
        "payrail/apply_answers.sql",
        (("WHERE f.code = v_said.code AND f.by_bank)", "WHERE TRUE)"),),
    ),
    Mutant(
        "a late success is swallowed",
        (outcomes.test_a_late_success_after_a_failure_is_never_dropped,),
        "payrail/apply_answers.sql",
        (("IF effect = 'contradicted' OR (effect = 'applied'", "IF (effect = 'applied'"),),
    ),
    Mutant(
        "a credit counts twice",
        (ledger.test_a_credit_counts_once,),
        "payrail/credit_merchant.sql",
        (("e.kind = 'credit' AND e.reference = p_reference", "FALSE"),),
    ),
    Mutant(
        "entries can be altered",
        (
            partial(
                ledger.test_entries_are_never_altered,
                role="payrail_owner",
                statement="UPDATE ledger.entries SET seq = 9 WHERE merchant_id = %(merchant_id)s",
            ),
        ),
        statement="DROP TRIGGER refuse_change ON ledger.entries",
    ),
    Mutant(
        "a replica's session skips a guard",
        (roles.test_every_guard_is_always_on,),
        statement="ALTER TABLE webhook.events ENABLE TRIGGER refuse_change",
    ),
    Mutant(
        "a DBA can write into the ledger",
        (partial(ledger.test_only_the_doors_write_entries, role="admin"),),
        "ledger/continue_chain.sql",
        (("IF current_user <> 'payrail_owner' THEN", "IF FALSE THEN"),),
    ),
    Mutant(
        "the hash leaves the amount out",
        (ledger.test_the_hash_is_sha256_over_the_previous_one_and_every_column,),
        "ledger/entry_hash.sql",
        (("            p_amount,\n", ""),),
    ),
    Mutant(
        "a transition has no event",
        (
            partial(
                payouts.test_an_edge_writes_history_event_and_entry,
                before="pending",
                after="processing",
            ),
        ),
        "payout/apply_transition.sql",
        (
            (
                "        WHERE e.merchant_id = NEW.merchant_id;",
                "        WHERE e.merchant_id = NEW.merchant_id HAVING NEW.status <> 'processing';",
            ),
        ),
    ),
    Mutant(
        "an expired key still opens",
        (keys.test_an_expired_key_names_nobody,),
        "payrail/authenticate_keys.sql",
        (
            (
                "k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());",
                "k.revoked_at IS NULL;",
            ),
        ),
    ),
    Mutant(
        "a revoked key still opens",
        (keys.test_a_revoked_key_names_nobody_at_once,),
        "payrail/authenticate_keys.sql",
        (("ANY (p_key_hashes) AND k.revoked_at IS NULL AND", "ANY (p_key_hashes) AND"),),
    ),
    Mutant(
        "a key grants what it lacks",
        (keys.test_a_key_makes_none_that_may_more_or_lasts_longer,),
        "payrail/create_api_key_by_key.sql",
        (("IF NOT p_scopes <@ v_by.scopes OR ", "IF "),),
    ),
    Mutant(
        "a key makes one of somebody else's",
        (keys.test_a_key_made_with_a_key_is_its_owners_and_as_limited,),
        "payrail/create_api_key_by_key.sql",
        (("p_owner => v_by.owner", "p_owner => 'ravi'"),),
    ),
    Mutant(
        "a revoked key manages keys",
        (keys.test_only_a_valid_key_of_the_merchant_with_the_scope_manages_keys,),
        "merchant/find_key_manager.sql",
        (("        AND k.revoked_at IS NULL\n", ""),),
    ),
    Mutant(
        "rolling tells another owner's secret",
        (
            partial(
                keys.test_nobody_gets_to_know_the_secret_of_a_greater_key, greater={"owner": "ravi"}
            ),
        ),
        "payrail/roll_api_key_by_key.sql",
        (("            AND k.owner IS NOT DISTINCT FROM v_by.owner\n", ""),),
    ),
    Mutant(
        "rolling makes a key last longer",
        (keys.test_rolling_never_makes_a_key_last_longer,),
        "payrail/roll_api_key.sql",
        (("least(k.expires_at, v_until)", "v_until"),),
    ),
    Mutant(
        "money moves without a durable commit",
        (
            partial(
                roles.test_no_money_moves_unsafely,
                door="create_payout",
                setting="synchronous_commit",
                value="off",
                state="PR901",
            ),
        ),
        "merchant/require_durability.sql",
        (("NOT IN ('on', 'remote_apply')", "IS NULL"),),
    ),
    Mutant(
        "money moves by an old snapshot",
        (
            partial(
                roles.test_no_money_moves_unsafely,
                door="credit_merchant",
                setting="default_transaction_isolation",
                value="repeatable read",
                state="PR902",
            ),
        ),
        "merchant/require_durability.sql",
        (("<> 'read committed'", "IS NULL"),),
    ),
    Mutant(
        "a session's operators get between",
        (roles.test_operators_of_the_session_do_not_get_between,),
        statement="ALTER FUNCTION payrail.create_payouts RESET search_path;"
        "ALTER FUNCTION payrail.create_payout RESET search_path",
    ),
    Mutant(
        "a postponed payout that is due is not claimed",
        (claims.test_a_postponed_payout_is_asked_about_when_its_time_comes,),
        "payrail/claim_payouts.sql",
        (
            (
                "AND q.next_action_at <= v_now\n                --",
                "AND q.next_action_at <= v_now AND q.unknown_reason IS NULL\n                --",
            ),
        ),
    ),
    Mutant(
        "a bank that pays twice is sent it again",
        (rails.test_a_bank_that_pays_twice_is_never_sent_it_again,),
        "rail/is_to_be_sent.sql",
        (("RETURN p_deduplicates_references AND EXISTS (", "RETURN EXISTS ("),),
    ),
    Mutant(
        "a code that nobody has listed fails a payout",
        (
            partial(
                rails.test_what_is_not_understood_is_unknown_and_kept,
                outcome="refused",
                code="R99",
                utr=None,
            ),
        ),
        "payrail/apply_answers.sql",
        (("AND f.by_bank) THEN", "AND f.by_bank) AND FALSE THEN"),),
    ),
    Mutant(
        "a late success is forgotten",
        (
            partial(
                rails.test_what_does_not_fit_changes_no_money_and_becomes_a_case,
                status="failed",
                said=("paid", None, "LATE"),
                kind="money_to_recover",
            ),
        ),
        "payrail/apply_answers.sql",
        (
            (
                "PERFORM rail.note_contradiction(",
                "PERFORM num_nulls(",
            ),
        ),
    ),
    Mutant(
        "a silent bank is nobody's business",
        (rails.test_beyond_finality_people_are_asked_until_the_bank_answers,),
        "rail/postpone_payout.sql",
        (("p_payout.send_before) + v_rail.finality THEN", "NULL) + v_rail.finality * 9 THEN"),),
    ),
    Mutant(
        "the breaker never opens",
        (rails.test_five_failures_in_a_row_stop_what_is_new_and_nothing_else,),
        "payrail/report_calls.sql",
        (
            ("opened_at = CASE WHEN r.failures + p_failed >= 5", "opened_at = CASE WHEN FALSE"),
            ("WHEN r.failures + p_failed >= 5\n", "WHEN FALSE\n"),
        ),
    ),
    Mutant(
        "a failing bank is not even asked",
        (rails.test_five_failures_in_a_row_stop_what_is_new_and_nothing_else,),
        "payrail/claim_payouts.sql",
        (
            (
                "AND r.opened_at IS NOT NULL\n                AND rail.is_to_be_sent(",
                OR_NOT,
            ),
        ),
    ),
    Mutant(
        "one operator is enough",
        (cases.test_nobody_resolves_a_case_alone,),
        "payrail/decide_resolution.sql",
        (("AND (o.proposed_by <> v_operator OR NOT p_confirm)", ""),),
    ),
    Mutant(
        "one operator says that the bank never executed it",
        (cases.test_nobody_alone_says_that_the_bank_never_executed_it,),
        "payrail/fail_payouts.sql",
        (("WHEN f.failure_code = 'not_executed' THEN 'second_operator_needed'", ""),),
    ),
    Mutant(
        "money is given back while a worker sends",
        (cases.test_nothing_is_failed_that_the_bank_may_still_execute,),
        "payrail/decide_resolution.sql",
        (("AND v_now <= v_final_at", "AND FALSE"),),
    ),
    Mutant(
        "what is in a file that has not left can be failed",
        (filing(partial(fails_no_filed, step="stored")),),
        "rail/sent_by.sql",
        (("WHEN k.sent_at IS NULL THEN 'infinity'", ""),),
    ),
    Mutant(
        "finality counts from the claim",
        (filing(partial(fails_no_filed, step="sent")),),
        "rail/sent_by.sql",
        (("greatest(p_payout.send_before, k.sent_at)", "p_payout.send_before"),),
    ),
    Mutant(
        "what the bank has told of is sent again when a worker says it never left",
        (rails.test_what_the_bank_has_told_of_has_left_whatever_the_worker_says,),
        "rail/is_told_of.sql",
        (("n.rail = p_rail AND n.rail_ref = p_rail_ref", "FALSE"),),
    ),
    Mutant(
        "one operator fails what is under way",
        (cases.test_one_operator_fails_nothing_that_is_under_way,),
        "payrail/fail_payouts.sql",
        (("WHEN v_now <= rail.final_at(p_merchant_id, p) THEN 'resolution_too_early'", ""),),
    ),
    Mutant(
        "what is unknown can be closed",
        (cases.test_nobody_closes_a_case_whose_outcome_is_unknown,),
        "payrail/propose_resolution.sql",
        (("v_case.kind = 'outcome_unknown' AND v_status", "FALSE AND v_status"),),
    ),
    Mutant(
        "a report that books what is pending lets it be sent",
        (
            partial(
                reports.test_what_was_thought_unsent_and_is_booked_is_neither_sent_nor_cancelled,
                other={"amount": 1},
            ),
        ),
        "payrail/import_report.sql",
        (("OR d.line IS NOT NULL AND d.status = 'pending'", ""),),
    ),
    Mutant(
        "a second payment is nobody's business",
        (
            filing(
                partial(
                    files.test_what_is_booked_otherwise_after_the_end_is_a_case_and_moves_no_money,
                    first=files.paid,
                    then=lambda one: files.paid(one, "UTR2"),
                    kind="booked_twice",
                )
            ),
        ),
        "rail/keep_notices.sql",
        (("PERFORM rail.note_bookings(", "PERFORM num_nulls("),),
    ),
    Mutant(
        "what was decided is asked again",
        (reports.test_a_difference_that_two_operators_have_closed_does_not_come_back,),
        "rail/is_decided.sql",
        (("c.rail = p_rail", "FALSE"),),
    ),
    Mutant(
        "a notice counts each time that it comes",
        (cases.test_a_notice_is_kept_once_and_makes_the_bank_be_asked,),
        "rail/keep_notices.sql",
        (("WHEN n.event_id <> ALL (v_new) THEN 'repeated'", ""),),
    ),
    Mutant(
        "what the bank tells of is sent again",
        (
            partial(
                cases.test_what_was_thought_unsent_and_the_bank_tells_of_is_asked_about_and_not_sent,
                outcome="paid",
            ),
        ),
        "rail/ask_bank.sql",
        (
            (
                "status = CASE p.status WHEN 'pending' THEN 'processing'",
                "status = CASE p.status WHEN 'none' THEN 'processing'",
            ),
        ),
    ),
    Mutant(
        "a refusal clears what the bank has booked",
        (booked_and_refused,),
        "rail/close_answered_cases.sql",
        (("OR c.kind = 'different_outcome' AND EXISTS (", "OR TRUE OR EXISTS ("),),
    ),
    Mutant(
        "a difference to the bank's books is nobody's business",
        (booked_and_refused,),
        "payrail/import_report.sql",
        (("WHERE d.result <> 'matched'", "WHERE FALSE"),),
    ),
    Mutant(
        "a payout that has ended is put into a file",
        (filing(partial(files.test_only_a_processing_payout_is_put_in_line, status="failed")),),
        "payrail/queue_instructions.sql",
        (("AND p.status = 'processing'", ""),),
    ),
    Mutant(
        "a payout that ended while it waited leaves in a file",
        (filing(files.test_of_what_ended_while_it_waited_nothing_leaves),),
        "payrail/cut_file.sql",
        (("AND p.status <> 'processing'", "AND FALSE"),),
    ),
    Mutant(
        "a file is written anew",
        (filing(files.test_the_bytes_of_a_file_are_those_that_were_stored_first),),
        "payrail/store_file.sql",
        (("f.file_id = p_file_id AND f.content IS NULL", "f.file_id = p_file_id"),),
    ),
    Mutant(
        "a refusal counts for more than a booking",
        (
            filing(
                partial(
                    files.test_money_that_was_booked_counts_for_more_than_a_word,
                    said=[files.refused, files.paid],
                    outcome="paid",
                    utr="UTR1",
                )
            ),
        ),
        "payrail/ask_files.sql",
        (("WHEN s.outcome = 'refused' THEN 4", "WHEN s.outcome = 'refused' THEN 0"),),
    ),
    Mutant(
        "a booking of another sum settles",
        (
            filing(
                partial(
                    files.test_money_that_was_booked_counts_for_more_than_a_word,
                    said=[lambda one: files.paid(one, amount=999)],
                    outcome="unknown",
                    utr=None,
                )
            ),
        ),
        "payrail/ask_files.sql",
        (
            (
                "rail.is_of_sum(s.raw, p.amount, p.currency) THEN 3",
                "rail.is_of_sum(s.raw, p.amount, p.currency) THEN 2",
            ),
        ),
    ),
    Mutant(
        "a callback settles at a bank that answers by files",
        (filing(files.test_a_callback_is_no_evidence_for_a_bank_that_answers_by_files),),
        "payrail/ask_files.sql",
        (("s.rail_ref = r.rail_ref AND s.file_id IS NOT NULL", "s.rail_ref = r.rail_ref"),),
    ),
    Mutant(
        "a claim has no lease",
        (claims.test_a_claimed_payout_is_nobody_elses,),
        "payrail/claim_payouts.sql",
        (("next_action_at = v_now + p_lease,", "next_action_at = v_now,"),),
    ),
    Mutant(
        "the whole lease is for sending",
        (claims.test_half_the_lease_is_for_sending,),
        "payrail/claim_payouts.sql",
        (("THEN v_now + p_lease / 2 ELSE", "THEN v_now + p_lease ELSE"),),
    ),
    Mutant(
        "an attempt is not on record",
        (rails.test_each_attempt_is_on_record_before_anything_leaves,),
        "payrail/claim_payouts.sql",
        (
            (
                "            payrail.actor(p_actor)\n        FROM claimed c\n",
                (
                    "            payrail.actor(p_actor)\n        FROM claimed c\n"
                    "        WHERE c.action = 'submit'\n"
                ),
            ),
        ),
    ),
    Mutant(
        "what the bank never saw is never sent again",
        (rails.test_what_the_bank_never_saw_is_sent_again_under_its_reference,),
        "rail/is_to_be_sent.sql",
        (("RETURN p_deduplicates_references AND EXISTS (", "RETURN FALSE AND EXISTS ("),),
    ),
    Mutant(
        "what an earlier attempt may have sent is pending again",
        (rails.test_what_an_earlier_attempt_may_have_sent_stays_processing,),
        "rail/postpone_payout.sql",
        (("AND a.attempt <> p_attempt", "AND FALSE"),),
    ),
    Mutant(
        "a worker that slept postpones what its successor has in hand",
        (rails.test_a_worker_that_slept_does_not_disturb_its_successor,),
        "rail/postpone_payout.sql",
        ((" OR p_attempt <> p_payout.attempts THEN", " THEN"),),
    ),
    Mutant(
        "an answer that is not final is not kept",
        (rails.test_an_answer_that_is_not_final_is_kept_too_with_its_hash,),
        "payrail/apply_answers.sql",
        (
            (
                "            PERFORM rail.record_evidence(ARRAY[v_one]);\n",
                "            IF FALSE THEN PERFORM rail.record_evidence(ARRAY[v_one]); END IF;\n",
            ),
        ),
    ),
    Mutant(
        "a late success is a contradiction like others",
        (
            partial(
                rails.test_what_does_not_fit_changes_no_money_and_becomes_a_case,
                status="failed",
                said=("paid", None, "LATE"),
                kind="money_to_recover",
            ),
        ),
        "rail/note_contradiction.sql",
        (("THEN 'money_to_recover' ELSE", "THEN 'contradiction' ELSE"),),
    ),
    Mutant(
        "an open breaker stops nothing",
        (rails.test_five_failures_in_a_row_stop_what_is_new_and_nothing_else,),
        "payrail/claim_payouts.sql",
        (("IF v_tried IS NOT NULL THEN", "IF FALSE THEN"),),
    ),
    Mutant(
        "the breaker never closes",
        (rails.test_after_a_pause_one_claim_is_the_trial,),
        "payrail/report_calls.sql",
        (
            ("CASE p_action WHEN 'submit' THEN NULL ELSE r.opened_at END", "r.opened_at"),
            ("CASE p_action WHEN 'submit' THEN NULL ELSE r.trial_at END", "r.trial_at"),
        ),
    ),
    Mutant(
        "every claim after the pause is a trial",
        (rails.test_after_a_pause_one_claim_is_the_trial,),
        "rail/trials.sql",
        (("SET trial_at = p_now + INTERVAL '10 seconds'", "SET trial_at = r.trial_at"),),
    ),
    Mutant(
        "a proposal that is rejected happens",
        (cases.test_a_rejected_proposal_changes_nothing_and_leaves_room_for_another,),
        "payrail/decide_resolution.sql",
        (("    IF p_confirm THEN\n", "    IF TRUE THEN\n"),),
    ),
    Mutant(
        "a notice makes nobody ask",
        (cases.test_a_notice_is_kept_once_and_makes_the_bank_be_asked,),
        "rail/ask_bank.sql",
        (("least(p.next_action_at, p_now)", "p.next_action_at"),),
    ),
    Mutant(
        "another amount at the bank is no difference",
        (reports.test_each_difference_to_our_books_is_a_case,),
        "payrail/reconciliation.sql",
        (("(p.amount, p.currency) IS DISTINCT FROM (l.amount, l.currency)", "FALSE"),),
    ),
    Mutant(
        "what no report has is not missed",
        (reports.test_each_difference_to_our_books_is_a_case,),
        "payrail/reconciliation.sql",
        (("        AND b.rail = v_report.rail\n", "        AND FALSE\n"),),
    ),
    Mutant(
        "a webhook is handed out to everybody",
        (webhooks.test_what_is_handed_out_is_nobody_elses_until_the_lease_is_over,),
        "payrail/claim_deliveries.sql",
        (("not_before = v_now + p_lease", "not_before = v_now"),),
    ),
    Mutant(
        "a worker whose lease is over has the last word",
        (webhooks.test_a_claim_is_recorded_once,),
        "payrail/record_deliveries.sql",
        (
            (
                "e.endpoint_id = p_endpoint_id AND e.claim = p_claim AND e.archived_at IS NULL",
                "e.endpoint_id = p_endpoint_id AND e.archived_at IS NULL",
            ),
        ),
    ),
    Mutant(
        "an endpoint gets what it did not ask for",
        (webhooks.test_an_endpoint_gets_its_types_and_no_others,),
        "payrail/claim_deliveries.sql",
        (("WHERE n.is_wanted AND n.nth <= v_room", "WHERE n.nth <= v_room"),),
    ),
    Mutant(
        "a test goes to everybody",
        (webhooks.test_a_test_is_of_one_endpoint,),
        "webhook/wants.sql",
        (("WHEN 'endpoint.test' THEN", "WHEN 'nothing' THEN"),),
    ),
    Mutant(
        "who is down is hammered",
        (webhooks.test_five_failures_leave_one_attempt_a_minute,),
        "payrail/record_deliveries.sql",
        (("WHEN v_failures >= 5 THEN v_now + INTERVAL", "WHEN FALSE THEN v_now + INTERVAL"),),
    ),
    Mutant(
        "410 is a failure like another",
        (webhooks.test_410_turns_it_off_and_an_event_says_so,),
        "payrail/record_deliveries.sql",
        (("r.response_status = 410", "FALSE"),),
    ),
    Mutant(
        "an old secret signs for ever",
        (webhooks.test_a_secret_that_was_rolled_signs_until_the_overlap_is_over,),
        "payrail/claim_deliveries.sql",
        (("v_endpoint.previous_until > v_now", "v_endpoint.previous_until IS NOT NULL"),),
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_noticed(
    database: Database, mutant: Mutant, record_property: Callable[[str, object], None]
) -> None:
    with database.connect("payrail_owner") as owner, owner.transaction():
        owner.execute(mutant.sql().encode())
        changed = owner.execute("SELECT * FROM audit.changed_definitions").fetchall()
        # from here on the audit takes the mutant for the real thing
        owner.execute((SQL / "audit" / "remember_definitions.sql").read_bytes())
    assert changed
    assert any(fails(check, database) for check in mutant.checks)
    record_property("mutants", 1)


def fails(check: Check, database: Database) -> bool:
    """Return whether a test fails on this database."""
    try:
        run(check, database)
    except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001  # whatever way it fails
        state = exc.sqlstate or "" if isinstance(exc, psycopg.Error) else ""
        # but for SQL that could never run (class 42 without its "insufficient privilege")
        return not state.startswith("42") or state == "42501"
    return False


def run(check: Check, database: Database) -> None:
    """Call a test as pytest would, with what its fixture makes, and audit after it."""
    (kind, *_) = inspect.get_annotations(inspect.unwrap(getattr(check, "func", check))).values()
    maker: Any = {"Desk": Desk, "Crowd": Crowd}[kind]
    with maker(database) as fixture:
        check(fixture)
        assert fixture.violations() == {}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_notices_a_mutant_does_not_cry_at_the_sound_database(
    database: Database, mutant: Mutant
) -> None:
    for check in mutant.checks:
        run(check, database)
