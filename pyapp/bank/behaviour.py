"""What the bank does with an instruction: by the ending of its account number, or by a script."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, structs

from pyapp.bank.wire import Script, State


class Step(Struct, frozen=True):
    """A state that an instruction reaches, so many seconds after it has arrived."""

    state: State
    code: str | None = None
    after: float = 0


class Behaviour(Struct, frozen=True, kw_only=True):
    """One way to treat an instruction; `call` is what happens to the whole HTTP call.

    `error` and `limit` turn the call away before anything is executed; `hang`, `drop` and `garbage`
    spoil the answer when everything has been executed. Either hits the first `times` submissions.
    """

    steps: tuple[Step, ...] = (Step("paid"),)
    call: Literal["answer", "drop", "hang", "garbage", "error", "limit"] = "answer"
    times: int = 1
    seconds: float = 20  # that a call hangs, and that Retry-After says
    silent: bool = False  # never in an answer
    hidden: int = 0  # the enquiries that are told "not found"
    callbacks: Literal["news", "all", "reversed"] = "news"  # news: what no answer has told
    copies: int = 1  # of each callback


_PENDING: Final = Step("pending")
_LATER: Final = (_PENDING, Step("paid", after=3))

NAMED: Final[Mapping[str, Behaviour]] = {
    "accept": Behaviour(),
    "refuse": Behaviour(steps=(Step("refused", "account_closed"),)),
    "slow": Behaviour(steps=_LATER),
    "pending": Behaviour(steps=(_PENDING,)),
    "silent": Behaviour(steps=(_PENDING,), silent=True),
    "drop": Behaviour(call="drop"),
    "refuse_and_drop": Behaviour(
        steps=(Step("refused", "beneficiary_bank_rejected"),), call="drop"
    ),
    "hang": Behaviour(call="hang"),
    "garbage": Behaviour(call="garbage"),
    "error": Behaviour(call="error"),
    "limit": Behaviour(call="limit", seconds=1),
    "late": Behaviour(call="drop", hidden=2),
    "return": Behaviour(steps=(Step("paid"), Step("returned", "account_closed", after=3))),
    "flip": Behaviour(steps=(Step("refused", "beneficiary_bank_offline"), Step("paid", after=3))),
    "duplicate": Behaviour(steps=(_PENDING, Step("paid", after=1)), copies=3),
    "reversed": Behaviour(steps=(_PENDING, Step("paid", after=1)), callbacks="reversed"),
}


def _refuses(code: str) -> Behaviour:
    return Behaviour(steps=(Step("refused", code),))


# By the last four characters of the account number or IBAN and a throw of a dice with the sides
# 0 … 99: the first whose number is above the throw. Every other account is paid.
ENDINGS: Final[Mapping[str, tuple[tuple[int, Behaviour], ...]]] = {
    "0001": ((100, NAMED["accept"]),),
    "0002": ((100, NAMED["slow"]),),
    "0101": ((100, _refuses("account_closed")),),
    "0102": ((100, _refuses("account_invalid")),),
    "0103": ((100, _refuses("account_frozen")),),
    "0199": ((100, _refuses("sandbox_says_no")),),  # a code that PayRail does not list
    "0201": ((100, _refuses("beneficiary_bank_offline")),),
    "0301": ((100, NAMED["drop"]),),
    "0302": ((100, NAMED["refuse_and_drop"]),),
    "0303": ((100, NAMED["silent"]),),
    "0304": ((100, NAMED["hang"]),),
    "0305": ((100, NAMED["garbage"]),),
    "0306": ((100, NAMED["error"]),),
    "0307": ((100, NAMED["limit"]),),
    "0308": ((100, NAMED["late"]),),
    "0401": ((100, NAMED["return"]),),
    "0501": ((100, NAMED["duplicate"]),),
    "0502": ((100, NAMED["reversed"]),),
    "0601": ((100, NAMED["flip"]),),
    "0000": (
        (70, NAMED["accept"]),
        (74, _refuses("account_closed")),
        (78, _refuses("account_frozen")),
        (82, _refuses("name_mismatch")),
        (86, _refuses("beneficiary_bank_offline")),
        (90, _refuses("beneficiary_limit_exceeded")),
        (100, NAMED["slow"]),
    ),
}


# UPI addresses; every other one is paid, too.
VPAS: Final[Mapping[str, Behaviour]] = {
    "success@test": NAMED["accept"],
    "failure@test": _refuses("vpa_invalid"),
    "timeout@test": NAMED["drop"],
    "returned@test": NAMED["return"],
}


def by_account(account: str, rail_ref: str, seed: int) -> Behaviour:
    """Return what an account asks for; the dice falls by the seed and the reference."""
    if "@" in account:
        return VPAS.get(account, NAMED["accept"])
    mix = ENDINGS.get(account[-4:])
    if mix is None:
        return NAMED["accept"]
    dice = hashlib.sha256(f"{seed}:{rail_ref}".encode()).digest()
    throw = int.from_bytes(dice[:2], "big") % 100
    return next(behaviour for up_to, behaviour in mix if throw < up_to)


def scripted(script: Script) -> Behaviour:
    """Return a named behaviour with the details that the script gives.

    `seconds` is when the last of several states is reached, or for how long a call hangs.
    """
    found = NAMED[script.behaviour]
    steps = found.steps
    if script.code is not None:
        steps = tuple(
            structs.replace(step, code=script.code if step.code else None) for step in steps
        )
    if script.seconds is not None and len(steps) > 1:
        steps = (*steps[:-1], structs.replace(steps[-1], after=script.seconds))
    return structs.replace(
        found,
        steps=steps,
        seconds=found.seconds if script.seconds is None else script.seconds,
        times=found.times if script.times is None else script.times,
        hidden=found.hidden if script.enquiries is None else script.enquiries,
        callbacks="all" if script.callbacks and found.callbacks == "news" else found.callbacks,
    )
