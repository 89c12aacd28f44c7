"""Which pairs of a drive the registration is estimated from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from calibrate.rig.targetless import PAIRS, samples_of
from edgefusion.core.frames import Frame, FramePair, PixelFormat
from edgefusion.recordings.options import NamedRecording


@dataclass
class Drive:
    """So many pairs of 4x4 pixels, each thermal reading its place; ``length`` is what the recording says."""

    frames: int
    length: int
    fps: float | None = 30.0

    def __iter__(self) -> Iterator[FramePair]:
        for index in range(self.frames):
            visible = np.zeros((4, 4), np.uint8)
            thermal = np.full((4, 4), index, np.uint16)
            yield FramePair(
                Frame(visible, PixelFormat.GREY, index, "receive", index),
                Frame(thermal, PixelFormat.Y16, index, "receive", index),
            )


def places(drive: Drive, lag: int = 0) -> tuple[list[int], list[int]]:
    """Of the samples' visible and thermal frames."""
    samples, sizes, formats = samples_of(NamedRecording("drive", lambda: drive), lag=lag)
    assert sizes == ((4, 4), (4, 4))
    assert formats == ("GREY", "Y16")
    return [int(each.name) for each in samples], [int(each.thermal[0, 0]) for each in samples]


@pytest.mark.parametrize("lag", [0, 7, -7])
@pytest.mark.parametrize("length", [0, 18_000])
def test_a_long_drive_is_covered_from_end_to_end(length: int, lag: int) -> None:
    visible, thermal = places(Drive(18_000, length), lag)
    assert len(visible) == PAIRS
    assert visible[0] < 600
    assert visible[-1] >= 18_000 - 600
    assert max(np.diff(visible)) <= 2 * 18_000 / PAIRS
    assert [right - left for left, right in zip(visible, thermal, strict=True)] == [lag] * PAIRS


@pytest.mark.parametrize("length", [0, 20])
def test_of_a_short_drive_every_pair_is_taken(length: int) -> None:
    assert places(Drive(20, length)) == (list(range(20)), list(range(20)))


def test_nothing_is_read_beyond_the_length() -> None:
    visible, _ = places(Drive(90, 60))
    assert len(visible) == PAIRS
    assert visible[-1] == 59
