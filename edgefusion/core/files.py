"""Writing files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgefusion.core.errors import MachineError


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A stream for the content of ``path``, which gets its name when all is written and synced.

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
            os.chmod(part, 0o644)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(
            f"cannot write ({reason})", where=path, remedy="choose a writable folder with free space"
        ) from error
