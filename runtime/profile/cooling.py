"""Between two runs: the machine cools down, so that a combination does not pay for the one before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

WARMER_C = 3.0
"""So much warmer than before the first run counts as cooled down."""

LONGEST_S, PAUSE_S, POLL_S = 300.0, 30.0, 1.0

Temperatures = Callable[[], Mapping[str, float]]


def pause_s(duration_s: float) -> float:
    """How long to wait where no temperature can be read: a tenth of a run, 30 s at most."""
    return min(duration_s / 10, PAUSE_S)


def cool_down(
    read: Temperatures,
    before_c: Mapping[str, float],
    *,
    duration_s: float,
    stop: threading.Event,
    longest_s: float = LONGEST_S,
    poll_s: float = POLL_S,
) -> bool:
    """Wait until every zone is as cool as it was, or ``stop``; whether it is.

    Args:
        read: the temperatures now.
        before_c: before the first run.
        duration_s: of a run.
        stop: ends the wait.
        longest_s: then it goes on as it is.
        poll_s: how often to look.
    """
    if not before_c:
        stop.wait(pause_s(duration_s))
        return True
    until_s = time.monotonic() + longest_s
    while not (cool := _cool(read(), before_c)) and time.monotonic() < until_s and not stop.wait(poll_s):
        pass
    return cool


def _cool(now_c: Mapping[str, float], before_c: Mapping[str, float]) -> bool:
    return all(now_c[zone] <= before_c[zone] + WARMER_C for zone in now_c.keys() & before_c.keys())
