"""Ctrl-C at a moment that does not depend on how busy the machine is."""

from __future__ import annotations

import signal


def interrupt_in(processor_s: float) -> None:
    """Send this process SIGINT when it has computed for so long."""
    signal.signal(signal.SIGVTALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_VIRTUAL, processor_s)
