"""NVTX ranges around the stages of the loop, for Nsight Systems; their names are those of the trace.

Both libraries have the same two functions: CUDA 12 and JetPack bring ``libnvToolsExt``, CUDA 13 ``libnvtx3interop``.
Called for real without a GPU, never under Nsight (docs/hardware-status.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any, Protocol

LIBRARIES = ("libnvtx3interop.so.1", "libnvToolsExt.so.1")


class Ranges(Protocol):
    """Named, nested parts of what the calling thread does."""

    def begin(self, name: str) -> None:
        """A part begins."""

    def end(self) -> None:
        """The part that began last ends."""


class NoRanges:
    """Nobody looks."""

    def begin(self, name: str) -> None:
        """See ``Ranges``."""

    def end(self) -> None:
        """See ``Ranges``."""


NO_RANGES = NoRanges()


class NvtxRanges:
    """Ranges that Nsight shows; without it they cost a call each.

    Args:
        library: with ``nvtxRangePushA`` and ``nvtxRangePop``.
    """

    def __init__(self, library: Any) -> None:
        self._push, self._pop = library.nvtxRangePushA, library.nvtxRangePop
        self._push.argtypes, self._pop.argtypes = [ctypes.c_char_p], []
        self._names: dict[str, bytes] = {}

    def begin(self, name: str) -> None:
        """See ``Ranges``."""
        self._push(self._names.get(name) or self._names.setdefault(name, name.encode()))

    def end(self) -> None:
        """See ``Ranges``."""
        self._pop()


def open_ranges(backend: str, *, libraries: Iterable[str] = LIBRARIES) -> Ranges:
    """Ranges where a GPU computes and one of the libraries is installed; else ones that do nothing."""
    if not backend.startswith("tensorrt"):
        return NO_RANGES
    for name in libraries:
        try:
            return NvtxRanges(ctypes.CDLL(name))
        except OSError:  # not installed: the next one, or none
            continue
    return NO_RANGES
