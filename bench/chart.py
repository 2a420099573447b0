"""The chart: what was measured as bars, with marks where what is owed and the goal are.

An SVG that is read in light and in dark, and has its text as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench.figures import Figure, Figures, shown

_WIDTH = 960
_LEFT = 370  # where bars begin
_RIGHT = 710  # and the longest may end
_ROW = 28
_BAR = 14

_HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} %(height)d" width="{_WIDTH}" \
height="%(height)d" role="img" aria-labelledby="title about" font-family="system-ui, \
-apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" font-size="13.5">
  <title id="title">How fast PayRail is</title>
  <desc id="about">%(about)s</desc>
  <style>
    .paper {{ fill: #fbfaf7; stroke: #d9d5cb }}
    .ink {{ fill: #23211d }}
    .soft {{ fill: #6a665c }}
    .goal {{ fill: #2f6b55 }}
    .owed {{ fill: #7fb59d }}
    .missed {{ fill: #cf8a72 }}
    .other {{ fill: #b9b5aa }}
    .one {{ stroke: #6a665c; stroke-dasharray: 3 4 }}
    .mark {{ stroke: #23211d; stroke-width: 2 }}
    .aim {{ fill: #fbfaf7; stroke: #23211d; stroke-width: 1.6 }}
    .b {{ font-weight: 600 }}
    .s {{ font-size: 12.5px }}
    @media (prefers-color-scheme: dark) {{
      .paper {{ fill: #16181b; stroke: #33373d }}
      .ink {{ fill: #eceae4 }}
      .soft {{ fill: #a5a196 }}
      .goal {{ fill: #59a586 }}
      .owed {{ fill: #3b6e59 }}
      .missed {{ fill: #a8573d }}
      .other {{ fill: #565b62 }}
      .one {{ stroke: #a5a196 }}
      .mark {{ stroke: #eceae4 }}
      .aim {{ fill: #16181b; stroke: #eceae4 }}
    }}
  </style>
  <rect class="paper" x=".5" y=".5" width="{_WIDTH - 1}" height="%(below)d" rx="14"/>"""


@dataclass(frozen=True)
class Bar:
    """One line of the chart, in units of its panel."""

    what: str
    length: float
    text: str
    verdict: str
    owed: float | None
    goal: float | None


def chart(figures: Figures) -> str:
    """Draw all that is compared with the yardstick, and all that has a goal not to go beyond."""
    panels = [
        (
            "More is better: the rate, as a multiple of the yardstick's",
            [_multiple(one) for one in figures if one.compared],
        ),
        (
            "Less is better: as a share of what is allowed",
            [_share(one) for one in figures if _is_bounded(one)],
        ),
    ]
    lines: list[str] = []
    y = 34
    for title, bars in panels:
        lines.append(f'<text class="ink b" x="24" y="{y}">{escape(title)}</text>')
        lines += _panel(bars, y + 14)
        y += 14 + _ROW * len(bars) + 34
    lines += _legend(y - 8)
    about = "; ".join(
        f"{bar.what}: {bar.text}{bar.verdict and ', ' + bar.verdict}"
        for _, bars in panels
        for bar in bars
    )
    head = _HEAD % {"height": y + 16, "below": y + 15, "about": escape(about, quote=False)}
    return "\n  ".join([head, *lines]) + "\n</svg>\n"


def _multiple(one: Figure) -> Bar:
    assert one.ratio is not None
    owed, goal = (None, None) if one.limit is None else (one.limit.owed, one.limit.goal)
    text = f"{one.ratio:.2f}, {shown(one.value)} a second"
    return Bar(one.what, one.ratio, text, one.verdict, owed, goal)


def _is_bounded(one: Figure) -> bool:
    return one.limit is not None and one.limit.most and one.limit.goal is not None


def _share(one: Figure) -> Bar:
    limit = one.limit
    assert limit is not None
    assert limit.goal is not None
    text = f"{shown(one.value)} {one.unit}" if one.ratio is None else f"{one.ratio:.2f}"
    return Bar(
        what=one.what,
        length=one.judged / limit.owed,
        text=f"{text} of {limit.owed:,g}",
        verdict=one.verdict,
        owed=1,
        goal=limit.goal / limit.owed,
    )


def _panel(bars: Sequence[Bar], top: float) -> list[str]:
    ends = [end for bar in bars for end in (bar.length, bar.owed, bar.goal) if end is not None]
    scale = (_RIGHT - _LEFT) / max(ends, default=1)
    below = top + _ROW * len(bars)
    one = _LEFT + scale
    lines = [f'<path class="one" d="M{one:.1f} {top}V{below}"/>']
    for number, bar in enumerate(bars):
        y = top + _ROW * number + _ROW / 2
        width = max(1, bar.length * scale)
        box = f'x="{_LEFT}" y="{y - _BAR / 2}" width="{width:.1f}" height="{_BAR}" rx="2"'
        word = f" · {bar.verdict}" if bar.verdict else ""
        lines += [
            _text(_LEFT - 12, y, bar.what, 'ink" text-anchor="end'),
            f'<rect class="{bar.verdict or "other"}" {box}/>',
            _text(_RIGHT + 18, y, f"{bar.text}{word}", "soft s"),
        ]
        if bar.owed is not None:
            lines.append(_mark(_LEFT + bar.owed * scale, y))
        if bar.goal is not None:
            lines.append(_aim(_LEFT + bar.goal * scale, y))
    return lines


def _legend(y: float) -> list[str]:
    return [
        _mark(_LEFT, y),
        _text(_LEFT + 10, y, "owed", "soft s"),
        _aim(_LEFT + 70, y),
        _text(_LEFT + 84, y, "goal", "soft s"),
        f'<path class="one" d="M{_LEFT + 140} {y - 10}V{y + 10}"/>',
        _text(_LEFT + 150, y, "1: the yardstick, or all that is allowed", "soft s"),
    ]


def _text(x: float, middle: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x}" y="{middle + 4.5}">{escape(text)}</text>'


def _mark(x: float, middle: float) -> str:
    return f'<path class="mark" d="M{x:.1f} {middle - 10}V{middle + 10}"/>'


def _aim(x: float, middle: float) -> str:
    return f'<path class="aim" d="M{x:.1f} {middle - 6}l6 6l-6 6l-6 -6z"/>'
