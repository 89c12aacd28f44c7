"""Who holds a place in shared memory, and whether that process still lives.

Who owns something also locks a byte of its file, which the kernel unlocks when the process dies. The lock tells across
containers and users, where a process number means nothing or may not be looked up; but a child made by fork keeps it.
So an owner is dead when nobody has the lock, or when its process is known to be gone. A number that was given to
another process in the meantime shows by the start time.
"""

from __future__ import annotations

import fcntl
import os
import struct
from functools import cache

_PID_BITS = 22
_FLOCK = "hhqqi4x"


def token(pid: int | None = None) -> int:
    """One word for a process that no other process of this machine ever has: its number and when it started.

    Raises:
        OSError: there is no such process, or this one may not look.
    """
    pid = os.getpid() if pid is None else pid
    return started(pid) << _PID_BITS | pid


def pid_of(owner: int) -> int:
    """The process's number, in its own namespace."""
    return owner & (1 << _PID_BITS) - 1


def started(pid: int) -> int:
    """When a process started, in clock ticks since boot."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return int(stat.read().rpartition(b")")[2].split()[19])  # its name, in parentheses, may hold anything


@cache
def namespace() -> int:
    """Which namespace of process numbers this process is in."""
    return os.stat("/proc/self/ns/pid").st_ino


def gone(owner: int, where: int) -> bool:
    """Whether a process of the namespace ``where`` is known not to exist any more."""
    if where != namespace():
        return False
    try:
        return token(pid_of(owner)) != owner
    except (FileNotFoundError, ProcessLookupError):
        return not _answers(pid_of(owner))
    except OSError:
        return False


def _answers(pid: int) -> bool:
    """Whether there is such a process, even one that /proc hides from this user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def lock(file: int, byte: int) -> bool:
    """Lock one byte of an open file; False where somebody else has."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except BlockingIOError:
        return False
    return True


def unlock(file: int, byte: int) -> None:
    """Give it back."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0))


def locked(file: int, byte: int) -> bool:
    """Whether somebody else has locked a byte of an open file."""
    answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0))
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
