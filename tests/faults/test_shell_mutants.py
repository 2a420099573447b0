"""The tests would notice: each of these damages to the shell makes a test of this suite fail.

A mutant is a copy of this house whose pyapp has been damaged in one place. The test that is named
with it is run there, by a pytest of its own, and has to fail. Three of them, others every day, are
part of `make test`; `MUTANTS=all pytest tests/faults/test_shell_mutants.py` runs all, and shows
that the same tests pass in a copy without a damage.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from pyapp.settings import ROOT
from tests import servers

CHOICE: Final = os.environ.get("MUTANTS", "3")


@dataclass(frozen=True)
class Mutant:
    """One damage: a text of a file of pyapp that is replaced, and the test that notices."""

    name: str
    file: str
    old: str
    new: str
    test: str
    is_slow: bool = False  # to be noticed: only in the long run

    def damage(self, house: Path) -> None:
        file = house / "pyapp" / self.file
        text = file.read_text()
        assert text.count(self.old) == 1, f"{self.file} no longer has: {self.old}"
        damaged = text.replace(self.old, self.new)
        compile(damaged, file, "exec")
        file.write_text(damaged)


MUTANTS: Final = (
    Mutant(
        "each try of a request has a key of its own",
        "web/api.py",
        "    request = decode.payout_request(call.body, call.idempotency_key)\n",
        "    request = decode.payout_request(call.body, call.request.state.request_id)\n",
        "web/test_idempotency.py::test_the_same_request_gets_the_same_bytes",
    ),
    Mutant(
        "what could not be asked for with others is asked for under another key",
        "web/app.py",
        '    return Gather("create_payouts", together, partial(create, wait=True))\n',
        (
            "    from dataclasses import replace\n"
            "    from uuid import uuid4\n"
            "    fresh = lambda r: replace(r, idempotency_key=str(uuid4()))\n"
            "    anew = lambda asked: [replace(one, request=fresh(one.request)) for one in asked]\n"
            "    alone = lambda asked: create(anew(asked), wait=True)\n"
            '    return Gather("create_payouts", together, alone)\n'
        ),
        "web/test_edge.py::test_a_client_that_hangs_up_does_not_stop_its_payout",
    ),
    Mutant(
        "keys that differ in their letters' size are one",
        "web/decode.py",
        '        raise Problem("idempotency_key_invalid")\n    return key\n',
        '        raise Problem("idempotency_key_invalid")\n    return key.lower()\n',
        "web/test_idempotency.py::test_a_key_in_other_letters_is_another_key",
    ),
    Mutant(
        "answers go to whoever asked first",
        "gather.py",
        "    for request, answer in zip(requests, told, strict=True):\n"
        "        if answer is not None and not request.answer.done():\n"
        "            request.answer.set_result(answer)\n",
        "    for request, answer in zip(requests, sorted(told, key=repr), strict=True):\n"
        "        if answer is not None and not request.answer.done():\n"
        "            request.answer.set_result(answer)\n",
        "web/test_gather.py::test_everybody_gets_the_answer_to_what_they_asked",
    ),
    Mutant(
        "who hangs up cancels a call half way",
        "database.py",
        "    return await asyncio.shield(task)\n",
        "    return await task\n",
        "web/test_database.py::test_a_cancelled_caller_does_not_cancel_the_call",
        is_slow=True,
    ),
    Mutant(
        "what the standbys may not have is acknowledged",
        "database.py",
        "    if connection in _unreplicated:\n",
        "    if False and connection in _unreplicated:\n",
        "faults/test_failover.py"
        "::test_a_commit_whose_wait_for_a_standby_was_cancelled_is_not_acknowledged",
        is_slow=True,
    ),
    Mutant(
        "one merchant takes every connection",
        "database.py",
        "_AT_ONCE: Final = 4 ",
        "_AT_ONCE: Final = 40 ",
        "web/test_edge.py::test_a_locked_merchant_holds_up_nobody",
    ),
    Mutant(
        "a key may do what it has no scope for",
        "web/route.py",
        "        if self.scope not in caller.scopes:\n",
        "        if False and self.scope not in caller.scopes:\n",
        "web/test_keys.py::test_a_key_without_the_scope_manages_none",
    ),
    Mutant(
        "a form needs no token",
        "web/session.py",
        "    if session and not hmac.compare_digest(\n",
        "    if session and None is hmac.compare_digest(\n",
        "web/test_dashboard.py::test_a_form_without_its_sessions_token_changes_nothing",
    ),
    Mutant(
        "a form may come from another site",
        "web/session.py",
        'not in {"same-origin", "none"}:',
        'in {"nowhere"}:',
        "web/test_dashboard.py::test_a_form_from_another_site_changes_nothing",
    ),
    Mutant(
        "what is no HTTP is answered before what came first",
        "web/server.py",
        "            http=Protocol,\n",
        '            http="httptools",\n',
        "web/test_edge.py::test_what_is_no_http_is_answered_after_what_came_before_it",
    ),
    Mutant(
        "a name may be twice in an object",
        "web/decode.py",
        '    if len(found) < len(pairs):\n        msg = "A key appears',
        '    if len(found) > len(pairs):\n        msg = "A key appears',
        "web/test_strict.py::test_malformed_json",
    ),
    Mutant(
        "anybody calls back in the bank's name",
        "rails/callbacks.py",
        "    if not any(\n        hmac",
        '    if signatures == [""] and not any(\n        hmac',
        "rails/test_callbacks.py::test_another_secret_or_none_is_not_enough",
    ),
    Mutant(
        "an old callback is as good as a new one",
        "rails/callbacks.py",
        "    if abs(time.time() - int(timestamp)) > TOLERANCE:\n",
        "    if abs(time.time() - int(timestamp)) > 10**9 * TOLERANCE:\n",
        "rails/test_callbacks.py::test_an_old_or_early_callback_is_refused",
    ),
    Mutant(
        "what was claimed long ago is sent",
        "jobs/teller.py",
        "if one.moment.is_too_old_to_send()]\n",
        "if one.moment is None]\n",
        "jobs/test_dispatch.py::test_a_worker_that_slept_does_not_send_late",
    ),
    Mutant(
        "a clock that was set back makes old claims new",
        "jobs/dispatch.py",
        "        age = max(time.monotonic() - self.steady, time.time() - self.wall)\n",
        "        age = time.time() - self.wall\n",
        "jobs/test_dispatch.py::test_a_worker_that_slept_does_not_send_late",
    ),
    Mutant(
        "what nobody understands is a refusal",
        "jobs/dispatch.py",
        'told(payout_id, "unknown", None, None, reason, raw, attempt)\n    # what',
        'told(payout_id, "refused", "account_closed", None, None, raw, attempt)\n    # what',
        "jobs/test_dispatch.py::test_nothing_is_refunded_without_a_listed_final_no",
    ),
    Mutant(
        "a call that broke off has left nothing behind",
        "jobs/teller.py",
        '            error = str(exc) or f"the bank did not answer',
        '            answers = dict.fromkeys(rail_refs, NotSent("it broke off"))\n'
        '            error = str(exc) or f"the bank did not answer',
        "jobs/test_dispatch.py::test_an_unknown_outcome_is_asked_about_before_anything_is_sent",
    ),
    Mutant(
        "a 5xx of the bank's is its final no",
        "rails/sandbox.py",
        "                    raise BankError(message)\n                async for",
        '                    orders = body.get("instructions", [])\n'
        '                    said = {"state": "refused", "code": "account_closed"}\n'
        '                    return [{**said, "rail_ref": order["rail_ref"]} for order in orders]\n'
        "                async for",
        "rails/test_sandbox.py::test_a_call_that_goes_wrong_raises_without_quoting_anything",
    ),
    Mutant(
        "an answer that was lost was never sent for",
        "rails/sandbox.py",
        "_NOTHING_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)\n",
        "_NOTHING_LEFT: Final = (httpx.HTTPError, TimeoutError)\n",
        "rails/test_sandbox.py::test_a_call_that_goes_wrong_raises_without_quoting_anything",
    ),
    Mutant(
        "of two answers at once the first is believed",
        "rails/sandbox.py",
        '                answers[ref] = Unknown("the bank says two things at once", item)\n',
        "                answers[ref] = _read(item)\n",
        "rails/test_sandbox.py::test_a_bank_that_says_two_things_at_once_is_not_believed",
    ),
    Mutant(
        "webhooks go to addresses inside",
        "jobs/post.py",
        "    return address.is_global and not address.is_multicast\n",
        "    return not address.is_multicast\n",
        "jobs/test_post.py::test_a_name_that_leads_inside_is_refused_before_anything_is_sent",
    ),
)


def chosen() -> tuple[Mutant, ...]:
    """Return all of them, or some that are others tomorrow."""
    if CHOICE == "all":
        return MUTANTS
    dice = random.Random(datetime.now(UTC).date().isoformat())
    return tuple(dice.sample([one for one in MUTANTS if not one.is_slow], int(CHOICE)))


@pytest.fixture
def house() -> Iterator[Path]:
    """A copy of all that the tests need, where pyapp and the tests may be changed."""
    with servers.folder() as house:
        skip = shutil.ignore_patterns("__pycache__")
        for name in ("pyapp", "tests"):
            shutil.copytree(ROOT / name, house / name, ignore=skip)
        for name in ("sql", "migrations", "docs", "bench", "pyproject.toml"):
            (house / name).symlink_to(ROOT / name)
        yield house


def run(house: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests in that house."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "--rootdir", house, *tests],
        cwd=house / "tests",
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("mutant", chosen(), ids=lambda mutant: mutant.name)
def test_a_mutant_of_the_shell_is_noticed(
    house: Path, mutant: Mutant, record_property: Callable[[str, object], None]
) -> None:
    mutant.damage(house)
    done = run(house, mutant.test)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "1 failed" in done.stdout, done.stdout
    record_property("mutants", 1)


@pytest.mark.skipif(CHOICE != "all", reason="they are part of this run anyway: MUTANTS=all")
def test_what_notices_a_mutant_does_not_cry_in_the_sound_house(house: Path) -> None:
    done = run(house, *sorted({mutant.test for mutant in MUTANTS}))
    assert done.returncode == 0, done.stdout + done.stderr
