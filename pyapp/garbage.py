"""Python's search for cycles, at the pace of a process that serves many small requests."""

from __future__ import annotations

import gc
from typing import Final

_PACE: Final = 20_000  # objects more than before; Python's own is 700


def look_rarely() -> None:
    """Search less often, and never in what is there by now.

    What a request leaves is almost never a cycle: looking for one took a tenth of its time.
    """
    gc.freeze()
    gc.set_threshold(_PACE, 10, 10)
