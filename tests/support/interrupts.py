"""Ctrl-C at a moment that does not depend on how busy the machine is."""

from __future__ import annotations

import os
import signal
import time


def interrupt_in(processor_s: float) -> None:
    """Send this process SIGINT when it has computed for so long."""
    signal.signal(signal.SIGVTALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_VIRTUAL, processor_s)


def gone(group: int) -> bool:
    """Whether no process of a group is left, or will be in a moment."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
