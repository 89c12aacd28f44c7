"""A device node under /dev: opening it, asking it, and what its refusals mean."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import Structure
from glob import glob
from typing import Any, TypeVar

from edgefusion.core.errors import EdgeFusionError, MachineError, RigError
from runtime.capture.base import CameraLostError
from runtime.capture.v4l2 import abi

Item = TypeVar("Item", bound=Structure)

GONE = (errno.ENODEV, errno.ENXIO, errno.ENOENT)
"""What is said of a device that was unplugged, or never there."""
NOT_OFFERED = (errno.EINVAL, errno.ENOTTY, errno.ENODATA)
"""What is said where a request or an index has no meaning for a device."""


def ioctl(fd: int, request: int, argument: Any) -> int:
    """One request, again if a signal came between; what it returned. Raises OSError."""
    while True:
        with suppress(InterruptedError):
            return int(fcntl.ioctl(fd, request, argument))


class Node:
    """An open device node, non-blocking.

    Raises:
        CameraLostError: there is no such node.
        MachineError: it is busy or not permitted.
        RigError: it is no video device.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with explaining(path, "opening it"):
            self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.about = self._query()
        except BaseException:
            self.close()
            raise

    def call(self, request: int, argument: Any) -> None:
        """Raises OSError: the device refuses it."""
        ioctl(self.fd, request, argument)

    def asks(self, request: int, argument: Any) -> bool:
        """Whether the device has an answer, which is in ``argument`` then. Raises OSError: it is gone."""
        try:
            self.call(request, argument)
        except OSError as error:
            if error.errno in NOT_OFFERED:
                return False
            raise
        return True

    def each(self, request: int, first: Item) -> Iterator[Item]:
        """What the device enumerates, by counting up ``index``."""
        while self.asks(request, first):
            yield type(first).from_buffer_copy(first)
            first.index += 1

    @property
    def capabilities(self) -> int:
        """Of this node, where the driver tells its nodes apart."""
        whole = int(self.about.capabilities)
        return int(self.about.device_caps) if whole & abi.DEVICE_CAPS else whole

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)

    def _query(self) -> abi.Capability:
        about = abi.Capability()
        with explaining(self.path, "asking what it is"):
            if not self.asks(abi.QUERYCAP, about):
                raise RigError("not a video device", where=self.path, remedy=present())
        return about


def present() -> str:
    """The device nodes that there are, for a remedy."""
    paths = sorted(glob("/dev/video*"), key=lambda path: (len(path), path))
    return f"there are {', '.join(paths)}" if paths else "there is no /dev/video* here: is the camera plugged in?"


@contextmanager
def explaining(path: str, doing: str) -> Iterator[None]:
    """Turns what the kernel says about a device into an error of ours."""
    try:
        yield
    except OSError as error:
        raise explain(error, path, doing) from error


def explain(error: OSError, path: str, doing: str) -> EdgeFusionError:
    """The error to raise when ``doing`` something with a device failed."""
    if error.errno in GONE:
        return CameraLostError("it is not there", where=path, remedy=present())
    if error.errno == errno.EBUSY:
        return MachineError("it is busy: somebody captures from it", where=path, remedy=f"see who: fuser -v {path}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return _not_permitted(path)
    return MachineError(f"{doing} failed ({error.strerror})", where=path, remedy="see what the kernel says: dmesg")


def _not_permitted(path: str) -> MachineError:
    about = os.stat(path)
    group = _name_of(grp.getgrgid, about.st_gid)
    user = _name_of(pwd.getpwuid, os.geteuid())
    shared = stat.S_IRGRP | stat.S_IWGRP
    if about.st_mode & shared == shared:
        remedy = f"sudo usermod -aG {group} {user}, and log in again; in a container: --group-add {group}"
        return MachineError(f"not permitted: it is for the group {group}", where=path, remedy=remedy)
    owner = _name_of(pwd.getpwuid, about.st_uid)
    remedy = f"give it to the group video: sudo chgrp video {path} && sudo chmod g+rw {path}"
    return MachineError(f"not permitted: it is for {owner} alone, not for the group video", where=path, remedy=remedy)


def _name_of(look_up: Any, number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:  # a container has not every name
        return str(number)
