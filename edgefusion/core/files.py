"""Writing files and folders that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edgefusion.core.errors import MachineError


def check_folder(path: Path | None) -> None:
    """Refuse at once, before long work, a file that could not be written at its end; None: there is none.

    Raises:
        MachineError: its folder is missing.
    """
    if path and not path.parent.is_dir():
        raise MachineError("no such folder", where=path.parent, remedy="make it first")


@contextmanager
def atomic_write(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A stream for the content of ``path``, which gets its name and ``mode`` when all is written and synced.

    Raises:
        MachineError: the folder is missing or not writable, or the disk is full; ``path`` is as it was.
    """
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(part, mode)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise _failure(path, error) from error


def append(file: int, content: bytes, *, end: int) -> int:
    """Append all of it to an open file, or nothing.

    Args:
        file: its descriptor.
        content: what is written.
        end: where the file ends.

    Returns:
        Where it ends now.

    Raises:
        OSError: it could not be written whole; the file ends where it did, if the disk can still do that.
    """
    left = memoryview(content)
    try:
        while left:  # a disk that is nearly full takes a part
            left = left[os.write(file, left) :]
    except OSError:
        with suppress(OSError):
            os.lseek(file, end, os.SEEK_SET)
            os.ftruncate(file, end)
        raise
    return end + len(content)


def write_folder(path: Path, files: dict[str, bytes]) -> None:
    """Write a folder in one stroke: it is whole or not there, and replaces one of the same path.

    Args:
        path: the folder to make.
        files: relative name -> content.

    Raises:
        MachineError: the place is not writable or full; ``path`` is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            new = Path(scratch) / "new"
            for name, content in files.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
            replace_folder(new, path, Path(scratch) / "old")
    except OSError as error:
        raise _failure(path, error) from error


def replace_folder(new: Path, path: Path, old: Path) -> None:
    """Give ``new`` the name ``path``; what had it goes to ``old``, and comes back if that fails.

    Raises:
        OSError: it failed; ``path`` is as it was.
    """
    try:
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise


def _failure(path: Path, error: OSError) -> MachineError:
    reason = error.strerror or str(error)
    return MachineError(f"cannot write ({reason})", where=path, remedy="choose a writable folder with free space")
