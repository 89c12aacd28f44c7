"""The file of a journal: whole lines, whatever happens to the disk or to the process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from edgefusion.core.errors import MachineError
from edgefusion.core.files import append

WORTH_LINES = 3
"""A journal of fewer lines holds no frame yet, and nobody misses it."""


class JournalFile:
    """Appends lines; locked, so that two runs do not write into one, and a reader sees whether it still goes on.

    Args:
        path: of the journal. One that an earlier run left there is set aside: ``run.1.jsonl``.
        say: told where it was put.

    Raises:
        MachineError: the folder is missing or not writable, or another run records there.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path = path
        try:
            if path.exists():
                _set_aside(path, say)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError as error:
            raise _cannot(path, error) from error
        _lock(self._file, path)
        self._size = 0

    def write(self, line: bytes) -> None:
        """Append a line.

        Raises:
            OSError: it could not be written whole; the file ends with the line before.
        """
        self._size = append(self._file, line, end=self._size)

    def begin(self, line: bytes) -> None:
        """Write the first line, or leave nothing.

        Raises:
            MachineError: there is no space for it.
        """
        try:
            self.write(line)
            self.sync()
        except OSError as error:
            self.close()
            self.path.unlink()
            raise _cannot(self.path, error) from error

    def sync(self) -> None:
        """Have the disk hold all lines, also when power fails.

        Raises:
            OSError: it does not.
        """
        os.fsync(self._file)

    def close(self) -> None:
        """Give the file back; closing twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def still_written(path: Path) -> bool:
    """Whether a process is recording there now; False where the file system knows no locks."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _set_aside(path: Path, say: Callable[[str], None]) -> None:
    """Move an earlier run's journal out of the way, or remove it if there is nothing in it."""
    with path.open("rb") as stream:
        _lock(stream.fileno(), path)
        worth = sum(1 for _ in zip(range(WORTH_LINES), stream, strict=False)) == WORTH_LINES
    if not worth:
        path.unlink()
        return
    number = 1
    while (aside := path.with_suffix(f".{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    say(f"an earlier run left {path}: it is now {aside}")


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise MachineError(
            "another run records there", where=path, remedy="name another file with --record, or end that run"
        ) from error
    except OSError:
        return  # a file system without locks: nobody can be kept away


def _cannot(path: Path, error: OSError) -> MachineError:
    reason = error.strerror or str(error)
    return MachineError(f"cannot record there ({reason})", where=path, remedy="name a writable folder with free space")
