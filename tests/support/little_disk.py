"""A disk that is full: no file can grow beyond a few bytes."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def run_with_little_disk(limit: int, *words: object) -> subprocess.CompletedProcess[str]:
    """What the command of these words says when a file of over ``limit`` bytes cannot be written."""
    call = [sys.executable, "-B", "-m", "edgefusion.cli", *map(str, words)]

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(call, capture_output=True, text=True, timeout=120, preexec_fn=full)


@contextmanager
def full_disk(path: Path, *, room: int = 10) -> Iterator[None]:
    """No file grows more than ``room`` bytes beyond the size that this one has."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
