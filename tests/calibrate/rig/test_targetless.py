"""Which pairs of a drive the registration is estimated from, also where the rig has a time offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from boards import Shots

from calibrate.rig.checking import CheckSettings, check_rig
from calibrate.rig.job import RigSettings
from calibrate.rig.targetless import PAIRS, calibrate_drive, lag_of, samples_of
from edgefusion.core.frames import Frame, FramePair, PixelFormat
from edgefusion.core.geometry import apply, grid
from edgefusion.core.rig import load_rig
from edgefusion.recordings.options import NamedRecording
from runtime.capture.simulated import SimulatedRig


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


TRUTH = SimulatedRig(seed=2)


def rig_file(path: Path, *, thermal_ns: int, visible_ns: int = 0) -> Path:
    """Of the simulated rig, with time offsets."""
    path.write_text(
        f"registration = {TRUTH.registration.tolist()}\n"
        f'[visible]\nsize_px = [640, 480]\nformat = "RGB24"\ntime_offset_ns = {visible_ns}\n'
        f'[thermal]\nsize_px = [320, 256]\nformat = "Y16"\nbits = 14\ntime_offset_ns = {thermal_ns}\n'
    )
    return path


@pytest.mark.parametrize(("fps", "lag"), [(30.0, 5), (None, 0)])
def test_the_time_offsets_of_a_rig_say_which_frames_belong_together(
    tmp_path: Path, fps: float | None, lag: int
) -> None:
    """Frames of the drive are 1 ns apart; stills have no time."""
    rig = load_rig(rig_file(tmp_path / "rig.toml", thermal_ns=-3, visible_ns=2))
    assert lag_of(NamedRecording("drive", lambda: Drive(90, 90, fps)), rig) == lag


def late(ms: int) -> NamedRecording:
    """14 pairs of a drive; thermal shows what was so long before its timestamps."""
    pairs = []
    for k in range(14):
        time_s, stamp = 1 + k / 30, k * 1_000_000_000 // 30
        visible = TRUTH.view("visible", time_s=time_s, index=k)
        thermal = TRUTH.view("thermal", time_s=time_s - ms / 1e3, index=k)
        pair = FramePair(
            Frame(visible, PixelFormat.RGB24, stamp, "monotonic", k),
            Frame(thermal, PixelFormat.Y16, stamp, "monotonic", k),
            f"n{k:02}",
        )
        pairs.append(pair)
    return NamedRecording("drive", lambda: Shots(pairs, 30.0))


@pytest.mark.slow
@pytest.mark.parametrize("late_ms", [100, -100])
def test_a_rig_that_says_its_time_offset_is_judged_on_frames_of_one_moment(tmp_path: Path, late_ms: int) -> None:
    named, path = late(late_ms), tmp_path / "rig.toml"
    told = check_rig(named, CheckSettings(rig_file(path, thermal_ns=-late_ms * 10**6)))
    untold = check_rig(named, CheckSettings(rig_file(path, thermal_ns=0)))
    assert (told.verdict, untold.verdict) == ("good", "off")
    assert told.mean_px < 1


@pytest.mark.slow
@pytest.mark.parametrize("late_ms", [100, -100])
def test_a_drive_too_short_to_time_is_calibrated_by_the_rig_s_time_offset(tmp_path: Path, late_ms: int) -> None:
    path = rig_file(tmp_path / "rig.toml", thermal_ns=-late_ms * 10**6)
    found = calibrate_drive(late(late_ms), RigSettings(tmp_path / "new.toml", path))
    assert found.offset is not None
    assert found.offset.doubt
    points = grid((640, 480))
    off = apply(found.registration.matrix, points) - apply(TRUTH.registration, points)
    assert np.linalg.norm(off, axis=1).mean() < 1
    assert load_rig(tmp_path / "new.toml").thermal.time_offset_ns == -late_ms * 10**6
