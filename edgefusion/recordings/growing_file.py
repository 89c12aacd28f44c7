"""A file that is readable at any time while a muxer writes it."""

from __future__ import annotations

import os
from pathlib import Path

from edgefusion.core.files import append


class GrowingFile:
    """What a muxer writes into, as into any file; the disk sees it at ``keep`` and ``finish`` only.

    So nothing is cut in two by a kill or a full disk, and what the muxer changes in what it wrote before, such as the
    header that is to point at an index, is changed last, once the index is on the disk.

    Args:
        path: gets its name at the first ``keep``; until then a file that has it stays, also for whoever reads it.

    Attributes:
        closed: whether it has ended; what comes then is forgotten.

    Raises:
        OSError: the folder is missing or not writable.
    """

    def __init__(self, path: Path) -> None:
        self.closed = False
        self._path, self._part = path, path.with_name(f".{path.stem}.part{path.suffix}")
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._named = False
        self._at = self._end = 0
        self._new = bytearray()
        self._changes: list[tuple[int, bytes]] = []

    @property
    def size_bytes(self) -> int:
        """How long it is, with what is not kept yet."""
        return self._end + len(self._new)

    def write(self, data: bytes) -> int:
        """Take the bytes at the place where the file is."""
        place, size = self._at - self._end, len(data)
        if place >= 0:
            self._new[place : place + size] = data
        elif place + size <= 0:
            self._changes.append((self._at, bytes(data)))
        else:
            raise ValueError("a change that goes on behind what is kept")
        self._at += size
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size_bytes}[whence]
        return self._at

    def tell(self) -> int:
        """Where the file is."""
        return self._at

    def keep(self) -> None:
        """Append what is new to the file on the disk, and give that its name.

        Raises:
            OSError: the disk is full or fails; the file ends where it did.
        """
        if self._new:
            self._end = append(self._file, bytes(self._new), end=self._end)
            self._new.clear()
        if not self._named:
            os.replace(self._part, self._path)
            self._named = True

    def finish(self) -> None:
        """Keep what is new, then what was changed.

        Raises:
            OSError: the disk is full or fails; the file is as it was at the last ``keep``.
        """
        self.keep()
        os.fsync(self._file)
        for offset, data in self._changes:
            os.pwrite(self._file, data, offset)
        self.end()

    def end(self) -> None:
        """End with what was kept: without any there is no file."""
        if not self.closed:
            self.closed = True
            os.close(self._file)
            if not self._named:
                self._part.unlink()
