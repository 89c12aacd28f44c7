"""Waiting for something that another thread or process does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any


def until(
    reached: Callable[[], object], seconds: float = 60.0, *, process: subprocess.Popen[Any] | None = None
) -> None:
    """Wait until it is so; fail if it takes longer, or if the process that is to bring it about ends before."""
    end_s = time.monotonic() + seconds
    while not reached():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end_s, "it takes too long"
        time.sleep(0.02)
