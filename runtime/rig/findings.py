"""What ``edgefusion rig check`` has to say about a rig."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from edgefusion.core.toml import Lines

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (``error``) or that one should know (``warning``).

    Attributes:
        level: with an error the rig cannot run.
        field: the field of rig.toml concerned, as ``thermal.bits``; empty for the rig as a whole.
        line: its line, from 1; None where it has none.
        what: what is wrong, and what to do.
        exit_code: what the command line ends with because of an error.
    """

    level: Level
    field: str
    line: int | None
    what: str
    exit_code: int = 4


Say = Callable[..., Finding]
"""``say(level, field, what, exit_code=4)`` makes a finding that knows its line."""


def speaker(lines: Lines) -> Say:
    """Makes findings about a file with these lines."""

    def say(level: Level, dotted: str, what: str, exit_code: int = 4) -> Finding:
        path = tuple(int(key) if key.isdigit() else key for key in dotted.split(".")) if dotted else ()
        return Finding(level, dotted, lines.of(path), what, exit_code)

    return say


@dataclass(frozen=True)
class RigReport:
    """A checked rig.

    Attributes:
        path, name: of the file, of the rig.
        findings: what is wrong or worth knowing.
        coverage: the share of the visible image that the thermal camera sees, 0..1; None where the file is wrong.
        cameras: what was measured of each, where they were opened.
        pairs: how the two fit in time, where they were opened.
    """

    path: str
    name: str | None = None
    findings: tuple[Finding, ...] = ()
    coverage: float | None = None
    cameras: dict[str, dict[str, Any]] = field(default_factory=dict)
    pairs: dict[str, Any] | None = None

    @property
    def errors(self) -> list[Finding]:
        """What keeps the rig from running."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def exit_code(self) -> int:
        """0, or that of the first error."""
        return self.errors[0].exit_code if self.errors else 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": not self.errors, **asdict(self)}
