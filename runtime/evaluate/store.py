"""Figures that were computed before, on this machine: one file per entry, one line per pair and condition.

A line is appended when its pair is done and never changed. What was cut off in the middle of a line is skipped.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from edgefusion.core.cache import cache_folder
from edgefusion.core.errors import MachineError

SOURCES = ("edgefusion.metrics", "edgefusion.kernels", "runtime.evaluate")


class Line(NamedTuple):
    """Figures of one entry for one pair, or what a detector found in that image.

    Attributes:
        digest: of the pair's content, with the entry's own file.
        condition: how the pair was made worse, or empty.
        luma: mean luma of the visible picture.
        values: metric -> figure.
        boxes: x0, y0, x1, y1, number of the class, score; in a detector's store.
    """

    digest: str
    condition: str
    luma: float
    values: dict[str, float]
    boxes: list[list[float]] | None = None


@functools.cache
def code_version(*packages: str) -> str:
    """Hash of the code of packages; by default of what figures depend on: another version's figures are not used."""
    found = hashlib.sha256()
    for package in packages or SOURCES:
        for path in sorted(resources.files(package).iterdir(), key=lambda path: path.name):
            if path.name.endswith(".py"):
                found.update(path.read_bytes())
    return found.hexdigest()


class Store:
    """The figures of one entry, or what one detector found in its images.

    Args:
        identity: what its images depend on, beside the pair; and what the detector is.

    Raises:
        MachineError: the cache folder cannot be made.
    """

    def __init__(self, identity: str) -> None:
        folder = cache_folder() / "evaluate"
        name = hashlib.sha256(f"{code_version()} {identity}".encode()).hexdigest()[:32]
        self.path = folder / f"{name}.jsonl"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise self._cannot(error) from error

    def read(self) -> Iterator[Line]:
        """Every whole line."""
        try:
            stream = self.path.open("rb")
        except FileNotFoundError:
            return
        with stream:
            for text in stream:
                try:
                    yield Line(*json.loads(text))
                except (ValueError, TypeError):
                    continue  # cut off when a process was killed

    def append(self, line: Line) -> None:
        """Add a line; it starts with a line break, which ends one that was cut off.

        Raises:
            MachineError: the disk is full.
        """
        text = f"\n{json.dumps(line)}\n".encode()
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, text)  # one call: lines of two processes do not mix
            finally:
                os.close(handle)
        except OSError as error:
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> MachineError:
        return MachineError(
            f"cannot keep what was computed ({error.strerror})", where=self.path, remedy="set EDGEFUSION_CACHE"
        )
