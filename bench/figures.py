"""Figures: what was measured, what is owed of it, and the table that shows both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tabulate import tabulate


@dataclass(frozen=True)
class Limit:
    """What is owed of a figure, and what the goal is: at least so much, or at most."""

    owed: float
    goal: float | None = None
    most: bool = False

    def verdict(self, judged: float) -> str:
        """Say how far it got: "goal", "owed", or "missed"."""
        if self.goal is not None and self._is_met(judged, self.goal):
            return "goal"
        return "owed" if self._is_met(judged, self.owed) else "missed"

    def text(self, bound: float | None) -> str:
        """Return one of the two as people write it."""
        return "" if bound is None else f"{'<=' if self.most else '>='} {bound:,g}"

    def _is_met(self, judged: float, bound: float) -> bool:
        return judged <= bound if self.most else judged >= bound


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    `ratio` is to the yardstick if `compared`, and else to the other of a pair; where there is one,
    it is what is judged. `rounds` are the values that it, or else `value`, is the median of.
    """

    what: str
    value: float
    unit: str
    ratio: float | None = None
    limit: Limit | None = None
    rounds: Sequence[float] = ()
    detail: Mapping[str, float] = field(default_factory=dict)
    compared: bool = False

    @property
    def judged(self) -> float:
        """What the limit is for."""
        return self.value if self.ratio is None else self.ratio

    @property
    def verdict(self) -> str:
        """How far it got; nothing where nothing is owed."""
        return "" if self.limit is None else self.limit.verdict(self.judged)


@dataclass(frozen=True)
class Run:
    """What is compared with the yardstick: `rate` measures it once, and returns it per second."""

    what: str
    rate: Callable[[], float]
    limit: Limit | None = None
    unit: str = "per second"


Figures: TypeAlias = list[Figure]


@dataclass(frozen=True)
class Part:
    """What can be asked for by name.

    The runs of all parts take turns with the yardstick; then each part is asked once for what else
    it has, and told what the runs have found.
    """

    runs: Sequence[Run] = ()
    once: Callable[[Figures], Figures] = lambda _: []


def table(figures: Figures, form: str = "simple") -> str:
    """Show them; `form` is one of tabulate's."""
    rows = []
    for one in figures:
        bounds = ("", "")
        if one.limit is not None:
            bounds = (one.limit.text(one.limit.owed), one.limit.text(one.limit.goal))
        ratio = "" if one.ratio is None else f"{one.ratio:,.2f}"
        rows.append((one.what, shown(one.value), one.unit, ratio, *bounds, one.verdict))
    return tabulate(
        rows,
        ["what", "value", "unit", "ratio", "owed", "goal", "met"],
        tablefmt=form,
        disable_numparse=True,
        colalign=("left", "right", "left", "right", "left", "left", "left"),
    )


def shown(value: float) -> str:
    """Return a number with about three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
