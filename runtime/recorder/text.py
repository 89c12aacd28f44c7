"""What ``edgefusion record`` says, while it records and in the end."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from edgefusion.core.errors import UsageError
from runtime.recorder.job import CameraCount, Recorded, Show

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s?)?")


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``5m``, ``1h30m`` or ``90``.

    Raises:
        UsageError: it is something else, or no time at all.
    """
    found = _DURATION.fullmatch(text)
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    total_s = 3600 * hours + 60 * minutes + seconds
    if not total_s:
        raise UsageError(f"{text!r} is no duration", remedy="give one such as 90s, 5m or 1h30m")
    return total_s


@contextmanager
def live_line(duration_s: float | None, *, hidden: bool) -> Iterator[Show]:
    """A line on the terminal with what both cameras have given so far; nothing where there is no terminal."""
    if hidden or not sys.stderr.isatty():
        yield lambda recorded: None
        return
    from rich.console import Console

    with Console(stderr=True).status("opening the cameras") as status:
        yield lambda recorded: status.update(_line(recorded, duration_s))


def _line(recorded: Recorded, duration_s: float | None) -> str:
    total = f" of {duration_s:.0f}" if duration_s else ""
    cameras = "  ".join(f"{side} {_short(count)}" for side, count in recorded.cameras.items())
    return f"{recorded.seconds:.0f}{total} s  {cameras}  {recorded.size_bytes / 1e6:.0f} MB"


def _short(count: CameraCount) -> str:
    state = "" if count.state == "live" else f" {count.state}"
    return f"{count.frames} ({count.fps:.1f}/s){state}{_losses(count)}"


def _losses(count: CameraCount) -> str:
    facts = {"dropped": count.dropped, "damaged": count.damaged}
    text = "".join(f", {number} {name}" for name, number in facts.items() if number)
    return text + (f", lost {count.lost} times" if count.lost else "")


def describe(recorded: Recorded) -> str:
    """A finished recording in a few lines."""
    lines = [
        f"{side}: {count.frames} frames of {count.form}, {count.fps:.1f} per second{_losses(count)}"
        for side, count in recorded.cameras.items()
    ]
    if any(count.dropped for count in recorded.cameras.values()):
        lines.append("frames were dropped because the disk is slower than the cameras")
    return "\n".join([*lines, f"{recorded.path}: {recorded.seconds:.1f} s, {recorded.size_bytes / 1e6:.1f} MB"])


def to_json(recorded: Recorded) -> str:
    """A finished recording as JSON."""
    return json.dumps(asdict(recorded) | {"path": str(recorded.path)}, indent=2)
