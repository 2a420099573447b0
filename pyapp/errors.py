"""Every way a request can be refused: one table, and the two ways into it.

The doors in SQL raise SQLSTATEs of the bands PR1xx … PR9xx, the shell raises `Problem`. Both end as
the same RFC 9457 problem document, so a client sees one vocabulary whichever layer said no.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import psycopg
from msgspec import Meta, Struct


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the catalogue: what happened, and what to do about it."""

    code: str
    sqlstate: str | None
    status: int
    meaning: str
    advice: str
    retryable: bool = False
    retry_after: int | None = None  # seconds

    @property
    def title(self) -> str:
        """The code in plain letters, as payrail.problem writes it too."""
        return self.code.capitalize().replace("_", " ")


# fmt: off
_TABLE: Final = (
    # What was sent is not valid.
    Code("amount_invalid", "PR101", 422, "The amount is not valid",
         "Send a whole number of minor units (paise) from 1 to 10^15."),
    Code("currency_unknown", "PR102", 422, "The currency is not known",
         "Send an ISO 4217 code that this installation supports, such as INR."),
    Code("idempotency_key_invalid", "PR103", 400, "The idempotency key is not valid",
         "Send one Idempotency-Key header of 1 to 255 visible ASCII characters; a UUID is best."),
    Code("reference_invalid", "PR104", 422, "The reference is not valid",
         "Send 1 to 255 printable characters, or leave it out."),
    Code("metadata_invalid", "PR105", 422, "The metadata is not valid",
         "Send a flat object: at most 20 keys of 1 to 40 characters, strings of at most 500."),
    Code("name_invalid", "PR106", 422, "The name is not valid",
         "Send a printable name that is not empty."),
    Code("bank_account_invalid", "PR107", 422, "The bank account is not valid",
         "Check its id, holder name, rail, and account number and IFSC, UPI address or IBAN."),
    Code("api_key_invalid", "PR108", 422, "The API key is not valid",
         "Check its name, scopes, owner, limits and expiry."),
    Code("utr_invalid", "PR109", 422, "The bank's reference (UTR) is not valid",
         "Record the UTR exactly as the bank gave it: 1 to 35 printable characters."),
    Code("failure_code_unknown", "PR110", 422, "The failure code is not known",
         "Use a code of the view payrail.failure_codes."),
    Code("argument_invalid", "PR111", 422, "An argument is not valid",
         "The detail names the argument."),
    Code("webhook_endpoint_invalid", "PR131", 422, "The webhook endpoint is not valid",
         "Check its address, event types, description and secret; errors names the field."),
    Code("batch_line_invalid", "PR121", 422, "A line of the batch is not valid",
         "Nothing was kept. The detail names the line and its code; correct it, or leave it out."),
    Code("narration_invalid", "PR151", 422, "The narration is not valid",
         "Send 1 to 30 letters, digits and spaces that begin with no space, or leave it out."),
    Code("scheduled_at_invalid", "PR152", 422, "The time to pay at is not valid",
         "Send a time in the future, no more than 366 days away, or leave it out to pay now."),
    Code("rules_invalid", "PR153", 422, "A rule is not valid",
         "The detail names the rule."),
    # What was sent contradicts what is.
    Code("illegal_transition", "PR201", 409, "The payout's status does not allow this",
         "Read the payout: the detail names its status. A final payout never changes."),
    Code("evidence_contradicts", "PR202", 409, "The evidence contradicts what is recorded",
         "Nothing was changed. An operator has to find out from the bank which is true."),
    Code("credit_reference_reused", "PR203", 409, "The credit reference is already used",
         "One reference is one credit. Use a new reference for other money."),
    Code("bank_account_exists", "PR204", 409, "The bank account exists with other details",
         "Bank accounts never change. Archive this one and add another id."),
    Code("idempotency_key_reused", "PR205", 422, "The key belongs to another request",
         "Use a new Idempotency-Key for a new request, and the same body for a retry."),
    Code("merchant_exists", "PR206", 409, "The merchant exists with other details",
         "Use another id, or the merchant that is there."),
    Code("api_key_exists", "PR207", 409, "The API key exists",
         "Make a new secret; one secret is one key."),
    Code("operator_exists", "PR208", 409, "The operator exists",
         "Choose another name, or give that operator a new password."),
    Code("case_closed", "PR209", 409, "The case is closed",
         "Nothing was changed. Its resolution is in payrail.cases."),
    Code("proposal_waiting", "PR210", 409, "A proposal is waiting for this case",
         "Another operator confirms or rejects it first."),
    Code("resolution_too_early", "PR211", 409, "The bank may still execute the instruction",
         "Nothing was done. Do it again after the time in the detail, or once its file has left."),
    Code("api_key_ended", "PR212", 409, "The API key has ended or been rolled",
         "Roll the key in replaced_by, if there is one, or create another."),
    Code("webhook_endpoint_exists", "PR231", 409, "There is a webhook endpoint at this address",
         "One address is told of an event once. Change that endpoint, or archive it."),
    Code("webhook_endpoints_full", "PR232", 409, "There are too many webhook endpoints",
         "A merchant has at most 16. Archive one that is not needed."),
    Code("batch_started", "PR221", 409, "The batch has started",
         "A batch is cancelled before its first line only. Cancel its payouts one by one."),
    Code("batch_refused", "PR222", 409, "A line of an all-or-nothing batch is refused",
         "No payout of it was made. Its lines say why; no answer has this code."),
    Code("outcome_still_unknown", "PR241", 409, "Nobody knows yet what became of the payout",
         "Settle it or fail it; it closes by itself when the bank answers."),
    Code("approval_expired", "PR251", 409, "The time to approve the payout is over",
         "Nothing was changed. Create a new payout with retry_of once this one has expired."),
    # Money.
    Code("insufficient_funds", "PR301", 422, "The available balance is too low",
         "Add money, then create the payout again with a new Idempotency-Key."),
    Code("balance_limit_exceeded", "PR302", 422, "The balance would exceed its limit",
         "A balance holds at most 10^18 minor units."),
    Code("limit_exceeded", "PR351", 422, "A limit of the merchant would be passed",
         "The detail names the limit. Pay less, or later, with a new Idempotency-Key."),
    Code("retry_of_invalid", "PR352", 422, "That payout can not be paid again",
         "Name a payout that has ended without paying and was not retried yet."),
    Code("mode_unavailable", "PR353", 422, "The bank has no such mode for this account and amount",
         "Leave the mode out, or pay another amount, with a new Idempotency-Key."),
    # Not there.
    Code("merchant_not_found", "PR401", 404, "There is no such merchant",
         "Check the merchant's id."),
    Code("payout_not_found", "PR402", 404, "There is no such payout",
         "Check the id: a merchant sees its own payouts only."),
    Code("bank_account_not_found", "PR403", 404, "There is no such bank account",
         "Check the id, or add the account first. In the answer to a new payout it is a 422."),
    Code("api_key_not_found", "PR404", 404, "There is no such API key",
         "Check the key's id."),
    Code("operator_not_found", "PR405", 404, "There is no such operator",
         "Check the name; payrail operator list shows them."),
    Code("case_not_found", "PR406", 404, "There is no such case",
         "Check the case's id; payrail.cases has them."),
    Code("proposal_not_found", "PR407", 404, "No such proposal is waiting",
         "It has been decided. Look at the case again."),
    Code("webhook_endpoint_not_found", "PR431", 404, "There is no such webhook endpoint",
         "Check the id: one that was archived can only be looked at."),
    Code("batch_not_found", "PR421", 404, "There is no such batch",
         "Check the id: a merchant sees its own batches only."),
    # Not allowed, not even to a DBA.
    Code("append_only", "PR501", 403, "This record can only be appended to",
         "History never changes: correct it with a new entry through a door."),
    Code("direct_write_refused", "PR502", 403, "This table is written by its door only",
         "Call the function of the schema payrail that does what you want."),
    Code("session_over", "PR503", 403, "The operator's session is over",
         "Nothing was done. Sign in to the console again."),
    Code("second_operator_needed", "PR504", 403, "A resolution takes two operators",
         "Nothing was done. Another operator than the one who proposed it has to confirm it."),
    Code("grant_refused", "PR505", 403, "The API key may not grant this",
         "Grant scopes that it has, until it ends at most; other owners' keys an operator makes."),
    Code("approver_is_creator", "PR551", 403, "Who asked for a payout can not approve it",
         "Nothing was done. Somebody else has to approve it."),
    # Money does not move under these conditions.
    Code("durability_off", "PR901", 500, "The session would lose acknowledged payouts",
         "Set synchronous_commit to on for the session; money does not move without it."),
    Code("isolation_unsupported", "PR902", 500, "The isolation level is not supported",
         "Call the doors in READ COMMITTED, the default."),
    Code("chain_broken", "PR903", 500, "The ledger's chain is broken",
         "Nothing was written. Run payrail audit, and call an operator."),
    Code("proof_missing", "PR904", 500, "A status lacks what it must be able to show",
         "Nothing was written. Change payouts through the doors only."),
    # The shell's own.
    Code("unauthorized", None, 401, "A valid API key is needed",
         "Send the header Authorization: Api-Key <key> with a key that is not expired or revoked."),
    Code("callback_unverified", None, 401, "The callback is not the bank's",
         "Sign it as Standard Webhooks says, with the secret of both sides; nothing was kept."),
    Code("forbidden", None, 403, "The API key may not do this",
         "Use a key that has the scope named in the detail."),
    Code("not_found", None, 404, "There is nothing at this address",
         "Check the path against the API's description."),
    Code("delivery_not_found", None, 404, "There is no such delivery",
         "Check the number: what an endpoint did not ask for is not sent to it."),
    Code("method_not_allowed", None, 405, "The method is not allowed here",
         "Use one of the methods in the Allow header."),
    Code("payload_too_large", None, 413, "The body is too large",
         "Send at most 64 KiB; of a list of payouts, 8 MiB."),
    Code("unsupported_media_type", None, 415, "The body is not JSON",
         "Send Content-Type: application/json, in UTF-8 and not compressed."),
    Code("malformed_json", None, 400, "The body is not strict JSON",
         "Send one UTF-8 JSON object: no duplicate keys, NaN, U+0000 or lone surrogates."),
    Code("invalid_request", None, 422, "The request is not valid",
         "Correct the fields or parameters listed in errors."),
    Code("idempotency_key_missing", None, 400, "The Idempotency-Key header is missing",
         "Send one; make it once per payout and keep it for every retry."),
    Code("idempotency_key_in_flight", None, 409, "The first request is still in flight",
         "Send the same request again after the time in Retry-After.",
         retryable=True, retry_after=1),
    Code("rate_limited", None, 429, "The API key is used too often",
         "Send the same request again after Retry-After; nothing was done.",
         retryable=True, retry_after=1),
    Code("unavailable", None, 503, "The service is not available for a moment",
         "Send the same request again after Retry-After: every request is safe to repeat.",
         retryable=True, retry_after=1),
    Code("internal", None, 500, "Something went wrong on our side",
         "Send the same request again; if it stays, give the request_id to the operator.",
         retryable=True),
)
# fmt: on

CATALOG: Final[Mapping[str, Code]] = {row.code: row for row in _TABLE}
SQLSTATES: Final[Mapping[str, Code]] = {row.sqlstate: row for row in _TABLE if row.sqlstate}

# What PostgreSQL itself says when it can't serve now: connection trouble (08), serialization and
# deadlock after all retries (40), no resources (53), lock timeout (55P03), shutdown and statement
# timeout (57), I/O (58), and doors that aren't there yet because a first migration is running.
_UNAVAILABLE: Final = ("08", "40", "53", "55P03", "57", "58", "3F000", "42883", "42P01")


class FieldError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong, and where."""

    pointer: Annotated[str | None, Meta(description="JSON pointer (RFC 6901) into the body")] = None
    parameter: Annotated[str | None, Meta(description="Name of the query parameter")] = None
    code: Annotated[str, Meta(description="A code of the list, or missing, unknown, invalid")]
    detail: str


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details; stored rejections carry no request_id, so replays are identical."""

    type: Annotated[str, Meta(description="Where the code is explained")]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What happened here, for people")]
    code: Annotated[str, Meta(description="Stable; dispatch on this")]
    retryable: Annotated[bool, Meta(description="The same request may succeed later")]
    request_id: Annotated[str | None, Meta(description="Quote it to the operator")] = None
    errors: list[FieldError] = []


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A request that is refused; `code` is a key of CATALOG."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.row = CATALOG[code]
        self.detail = detail or f"{self.row.meaning}. {self.row.advice}"
        self.errors = list(errors)
        retry = {"Retry-After": str(self.row.retry_after)} if self.row.retry_after else {}
        self.headers = {**retry, **(headers or {})}
        super().__init__(f"{code}: {self.detail}")

    def document(self, request_id: str | None = None) -> ProblemDocument:
        """Return what the client is told."""
        return ProblemDocument(
            type=f"/docs/#error-{self.row.code}",
            title=self.row.title,
            status=self.row.status,
            detail=self.detail,
            code=self.row.code,
            retryable=self.row.retryable,
            request_id=request_id,
            errors=self.errors,
        )


def problem_of(exc: Exception) -> Problem:
    """Translate any exception; what isn't known becomes `internal`, and its text stays inside."""
    if isinstance(exc, Problem):
        return exc
    if not isinstance(exc, psycopg.Error):
        return Problem("internal")
    state = exc.sqlstate
    if state is None:
        lost = isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError)
        return Problem("unavailable" if lost else "internal")
    if state in SQLSTATES:
        return _refusal(SQLSTATES[state], exc.diag)
    if state.startswith(_UNAVAILABLE):
        return Problem("unavailable")
    # A value that even the doors' own checks let through, such as an unforeseen character.
    return Problem("invalid_request" if state.startswith("22") else "internal")


def _refusal(row: Code, diag: psycopg.errors.Diagnostic) -> Problem:
    """Turn a door's exception into words: its constant message, and the facts of its DETAIL."""
    message = diag.message_primary or row.meaning
    facts = _facts(diag.message_detail)
    field = facts.pop("field", None)
    known = [f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if value]
    detail = f"{message} ({', '.join(known)})" if known else message
    if not (field and str(row.sqlstate).startswith("PR1")):
        return Problem(row.code, detail)
    where = FieldError(pointer=f"/{field}", code=row.code, detail=diag.message_hint or message)
    return Problem(row.code, detail, errors=[where])


def _facts(detail: str | None) -> dict[str, Any]:
    try:
        return msgspec.json.decode(detail or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
