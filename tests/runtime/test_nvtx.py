from __future__ import annotations

from pathlib import Path

import pytest
from lanes import Run, pairs

from runtime.nvtx import NO_RANGES, NvtxRanges, open_ranges


class Function:
    """A function of a C library that notes what it was called with."""

    def __init__(self, name: str, calls: list[tuple[str, ...]]) -> None:
        self.name, self.calls = name, calls

    def __call__(self, *given: bytes) -> int:
        self.calls.append((self.name, *(each.decode() for each in given)))
        return 0


class Library:
    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.nvtxRangePushA = Function("push", self.calls)
        self.nvtxRangePop = Function("pop", self.calls)


def names(calls: list[tuple[str, ...]]) -> list[str]:
    """Every range with those around it; each must have ended."""
    found, around = [], []
    for what, *given in calls:
        if what == "push":
            around.append(given[0])
            found.append("/".join(around))
        else:
            around.pop()
    assert around == []
    return found


def test_every_stage_is_a_range_inside_its_frame() -> None:
    library = Library()
    Run(pairs(2), ranges=NvtxRanges(library)).go()
    frame = ["source", "frame", "frame/pack", "frame/execute", "frame/unpack", "frame/publish", "frame/sink"]
    assert names(library.calls) == [*frame, *frame, "source"]


def test_without_a_gpu_or_the_library_there_are_none() -> None:
    assert open_ranges("openvino") is NO_RANGES
    assert open_ranges("tensorrt", libraries=["libnothing.so.1"]) is NO_RANGES


def test_the_real_library_takes_them() -> None:
    package = pytest.importorskip("nvidia.cu13", reason="no NVTX library here")
    library = str(Path(next(iter(package.__path__))) / "lib" / "libnvtx3interop.so.1")
    if not Path(library).is_file():
        pytest.skip("no NVTX library here")
    ranges = open_ranges("tensorrt", libraries=[library])
    assert isinstance(ranges, NvtxRanges)
    ranges.begin("pack")
    ranges.end()
