"""The command line where no file can grow beyond a few bytes, as on a full disk."""

from __future__ import annotations

import resource
import subprocess
import sys


def run_with_little_disk(limit: int, *words: object) -> subprocess.CompletedProcess[str]:
    """What the command of these words says when a file of over ``limit`` bytes cannot be written."""
    call = [sys.executable, "-B", "-m", "edgefusion.cli", *map(str, words)]

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(call, capture_output=True, text=True, timeout=120, preexec_fn=full)
