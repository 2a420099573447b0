"""The merchant's page of bank accounts: adding one, and taking one out of use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec
import psycopg
from starlette.responses import RedirectResponse, Response

from pyapp import doors, iban
from pyapp.errors import Problem, problem_of
from pyapp.web import decode
from pyapp.web.dashboard import View, Visit
from pyapp.web.types import Page

_OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "account_number": ("account_number", "ifsc"),
    "vpa": ("vpa",),
    "iban": ("iban",),
}
_FIELDS: Final = ("bank_account_id", "holder_name", "account_number", "ifsc", "vpa", "iban")
_WRITE: Final = "bank_accounts:write"


async def bank_accounts(visit: Visit) -> Response:
    """List where the merchant's money may go."""
    query = decode.query(visit.request, Page)
    after = decode.read_cursor(query.cursor, str)
    found = await doors.bank_accounts(
        visit.db, visit.merchant_id, limit=query.limit + 1, after=after
    )
    cursor = decode.next_cursor(found, query.limit)
    return visit.page(
        "bank-accounts.html",
        accounts=[msgspec.json.decode(item.body) for item in found[: query.limit]],
        more=f"/bank-accounts?{urlencode({'cursor': cursor})}" if cursor else None,
    )


async def new_bank_account(visit: Visit) -> Response:
    """Show the form that adds a bank account."""
    return _form(visit, {}, {})


async def add_bank_account(visit: Visit) -> Response:
    """Add the account that the form describes; of another kind's fields nothing is taken."""
    form = {name: visit.form.get(name, "").strip() for name in _FIELDS}
    kind = visit.form.get("kind", "")
    given = {name: form[name] for name in _OF_KIND.get(kind, ()) if form[name]}
    if "ifsc" in given:
        given["ifsc"] = given["ifsc"].upper()
    fault = iban.fault(given["iban"]) if "iban" in given else None
    errors = {"iban": fault} if fault else {}
    if not errors:
        try:
            await doors.add_bank_account(
                visit.db,
                visit.merchant_id,
                form["bank_account_id"],
                holder_name=form["holder_name"],
                **given,
            )
        except psycopg.Error as exc:
            errors = _errors(problem_of(exc), kind)
        else:
            return RedirectResponse("/bank-accounts", 303)
    return _form(visit, form | {"kind": kind}, errors, status=422)


def _errors(problem: Problem, kind: str) -> dict[str, str]:
    """Return what is wrong by field; whatever is not about the form is raised on."""
    if problem.row.code == "bank_account_exists":
        return {"bank_account_id": "This id is another account's. Choose another one."}
    if problem.row.code != "bank_account_invalid":
        raise problem
    (where,) = problem.errors
    field = (where.pointer or "").removeprefix("/")
    if field not in _FIELDS:
        return {"kind": "Your bank can't pay such an account."}
    if field == "account_number" and kind in _OF_KIND:
        field = kind  # none of the ways to pay is filled in
    return {field: where.detail}


def _form(
    visit: Visit, form: Mapping[str, str], errors: Mapping[str, str], *, status: int = 200
) -> Response:
    given = dict.fromkeys((*_FIELDS, "kind"), "") | dict(form)
    return visit.page("new-bank-account.html", status, form=given, errors=errors)


async def archive_bank_account(visit: Visit) -> Response:
    """Take a bank account out of use."""
    bank_account_id = visit.request.path_params["bank_account_id"]
    if "\0" in bank_account_id:
        raise Problem("bank_account_not_found")
    await doors.archive_bank_account(visit.db, visit.merchant_id, bank_account_id)
    return RedirectResponse("/bank-accounts", 303)


VIEWS: Final = (
    View(method="GET", path="/bank-accounts", handler=bank_accounts),
    View(method="GET", path="/bank-accounts/new", handler=new_bank_account, scope=_WRITE),
    View(method="POST", path="/bank-accounts/new", handler=add_bank_account, scope=_WRITE),
    View(
        method="POST",
        path="/bank-accounts/{bank_account_id}/archive",
        handler=archive_bank_account,
        scope=_WRITE,
    ),
)
