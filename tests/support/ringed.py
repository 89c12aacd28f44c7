"""A process that publishes to a ring and tells of itself what it is told to tell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SCRIPT = """
import json, sys, time
from edgefusion.core.frames import FusedInfo
from edgefusion.ring.writer import RingWriter
name, status = sys.argv[1], json.loads(sys.argv[2])
with RingWriter(name, size_px=(64, 48)) as ring:
    for number in range(3):
        slot = ring.acquire()
        slot.pixels[:] = number
        slot.publish(FusedInfo(number, number, "monotonic", number, number))
    if status.pop("beats", False):
        status["at_ns"] = time.time_ns()
    ring.set_status(status)
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def running(name: str, status: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A writer of that ring, in another process; it ends the ring when the block ends, unless it died before."""
    words = [sys.executable, "-c", SCRIPT, name, json.dumps(status)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
            yield writer
        finally:
            if writer.poll() is None:
                writer.communicate()
