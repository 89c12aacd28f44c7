"""Every error edgefusion raises on purpose, in one tree.

    EdgeFusionError
    ├── UsageError          exit 2  the command line or a call does not make sense
    ├── MachineError        exit 3  this machine lacks something (a package, a device, disk space)
    ├── InputError          exit 4  a file or a setting that was given is wrong
    │   ├── RecordingError          images, videos, MCAP files
    │   ├── RigError                rig.toml
    │   └── BundleError             a bundle, or an engine made from one
    └── RunError            exit 5  it started, and then failed
        ├── RingLostError           the ring that one read is gone
        └── RingTimeoutError        a ring brought no frame in time

Each says what is wrong, where, and what to do next. The command line prints that and exits with the
class's code; a traceback appears only with ``--debug``.
"""

from __future__ import annotations

from os import PathLike
from typing import TypeVar

Kind = TypeVar("Kind", bound="EdgeFusionError")


class EdgeFusionError(Exception):
    """Root of the tree.

    Args:
        what: what is wrong, as a clause without a full stop.
        where: the file, device or setting concerned.
        remedy: what the user can do about it.
    """

    exit_code = 5

    def __init__(self, what: str, *, where: str | PathLike[str] = "", remedy: str = "") -> None:
        self.what = what
        self.where = str(where)
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{place}{self.what}{remedy}"

    def placed(self: Kind, where: str | PathLike[str]) -> Kind:
        """The same error; if it says no place, with this one."""
        return type(self)(self.what, where=self.where or where, remedy=self.remedy)


class UsageError(EdgeFusionError):
    """The command line or a call does not make sense."""

    exit_code = 2


class MachineError(EdgeFusionError):
    """This machine lacks something: a package, a driver, a device, disk space, a permission."""

    exit_code = 3


class InputError(EdgeFusionError):
    """A file or a setting that was given is wrong."""

    exit_code = 4


class RecordingError(InputError):
    """A recording cannot be read, or its two halves do not match."""


class RigError(InputError):
    """A rig.toml is malformed or contradicts the cameras."""


class BundleError(InputError):
    """A bundle is damaged, of another schema, or lacks what was asked of it."""


class RunError(EdgeFusionError):
    """Something started and then failed."""

    exit_code = 5


class RingLostError(RunError):
    """There is no such ring, or its writer died, or a frame was given up before it was read."""


class RingTimeoutError(RunError):
    """No frame came in time."""
