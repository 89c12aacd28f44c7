"""The time offset between the cameras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibrate.rig.offset import known_lag, time_offset
from edgefusion.core.frames import Frame, FramePair, PixelFormat
from edgefusion.core.geometry import Registration
from edgefusion.recordings.recording import open_recording
from runtime.capture.simulated import SimulatedRig

PERIOD_NS = 1_000_000_000 // 30


def street(late_s: float, count: int = 120) -> Iterator[FramePair]:
    """Bright and warm spots that walk about in 160x120; thermal, of half the size, shows ``late_s`` later moments."""
    draw = np.random.default_rng(5)
    start, speed = draw.uniform((10, 10), (150, 110), (14, 2)), draw.uniform(-45, 45, (14, 2))
    ground = cv2.resize(draw.random((12, 16)).astype(np.float32), (160, 120), interpolation=cv2.INTER_CUBIC)
    for index in range(count):
        planes = []
        for time_s, sign in ((index / 30, 1), (index / 30 + late_s, -1)):
            plane = 90 + 40 * sign * ground
            for x, y in (start + speed * time_s) % (160, 120):
                cv2.circle(plane, (round(16 * x), round(16 * y)), 80, 200.0, -1, cv2.LINE_AA, 4)
            planes.append(plane + draw.normal(0, 2, plane.shape))
        visible = np.clip(planes[0], 0, 255).astype(np.uint8)
        thermal = (7000 + 10 * cv2.resize(planes[1], (80, 60), interpolation=cv2.INTER_AREA)).astype(np.uint16)
        stamp = index * PERIOD_NS
        yield FramePair(
            Frame(visible, PixelFormat.GREY, stamp, "receive", index),
            Frame(thermal, PixelFormat.Y16, stamp, "receive", index),
        )


HALF = Registration(np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1.0]]))


@pytest.mark.parametrize("late_ms", [0, 33, -70, 180])
def test_a_known_offset_is_found(late_ms: int) -> None:
    found = time_offset(street(late_ms / 1e3), HALF)
    assert found.doubt == ""
    assert found.offset_ns / 1e6 == pytest.approx(late_ms, abs=8)


def test_stamps_that_differ_are_taken_into_account() -> None:
    pairs = [replace(pair, thermal=replace(pair.thermal, timestamp_ns=pair.thermal.timestamp_ns + 12_000_000))
             for pair in street(0.05)]  # fmt: skip
    assert time_offset(pairs, HALF).offset_ns / 1e6 == pytest.approx(50 - 12, abs=8)


@pytest.mark.parametrize("late_ms", [100, -70])
@pytest.mark.parametrize("stamped_ms", [0, 12])
def test_a_known_offset_gives_the_lag_that_is_measured(late_ms: int, stamped_ms: int) -> None:
    pairs = [replace(pair, thermal=replace(pair.thermal, timestamp_ns=pair.thermal.timestamp_ns + stamped_ms * 10**6))
             for pair in street(late_ms / 1e3)]  # fmt: skip
    found = time_offset(pairs, HALF)
    assert known_lag(pairs, (late_ms - stamped_ms) * 10**6) == round(found.lag_frames) == round(-late_ms * 30 / 1e3)


def test_one_pair_and_pairs_of_one_time_have_no_lag() -> None:
    pairs = [replace(pair, thermal=replace(pair.thermal, timestamp_ns=0)) for pair in street(0.0, 3)]
    assert known_lag(pairs[:1], 10**8) == known_lag(pairs, 10**8) == 0


def test_unrelated_motion_gives_no_offset() -> None:
    others = [pair.thermal for pair in street(33.0)]
    pairs = [replace(pair, thermal=other) for pair, other in zip(street(0.0), others, strict=True)]
    assert "too little is in motion" in time_offset(pairs, HALF).doubt or time_offset(pairs, HALF).doubt


def test_nothing_in_motion_and_too_few_frames_give_no_offset() -> None:
    first = next(street(0.0))
    draw = np.random.default_rng(1)
    still = [
        replace(
            first,
            visible=replace(first.visible, pixels=first.visible.pixels + draw.integers(0, 3, (120, 160), np.uint8)),
            thermal=replace(first.thermal, pixels=first.thermal.pixels + draw.integers(0, 9, (60, 80), np.uint16)),
        )
        for _ in range(90)
    ]
    assert time_offset(still, HALF).doubt != ""
    assert "too few" in time_offset(islice(street(0.0), 20), HALF).doubt


@pytest.mark.slow
@pytest.mark.parametrize("late_s", [0.0, 0.1])
def test_the_simulated_rig_s_known_offset(late_s: float) -> None:
    rig = SimulatedRig(seed=3)
    pairs = (
        FramePair(
            Frame(rig.view("visible", time_s=1 + k / 30, index=k), PixelFormat.RGB24, k * PERIOD_NS, "monotonic", k),
            Frame(
                rig.view("thermal", time_s=1 + k / 30 + late_s, index=k), PixelFormat.Y16, k * PERIOD_NS, "monotonic", k
            ),
        )
        for k in range(120)
    )
    found = time_offset(pairs, Registration(rig.registration))
    assert found.doubt == ""
    assert found.offset_ns / 1e9 == pytest.approx(late_s, abs=0.010)


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["0111_1716", "0113_1714", "0117_1605"])
def test_frames_of_a_clip_that_are_shifted(data: Path, clip: str) -> None:
    folder = data / "recordings" / "m3svd"
    pairs = list(islice(open_recording(folder / "visible" / f"{clip}.mp4", folder / "thermal" / f"{clip}.mp4"), 300))
    own = time_offset(pairs, Registration(np.eye(3)))
    assert abs(own.offset_ns) < 25_000_000
    for shift in (3, 9):
        moved = [
            FramePair(later.visible, replace(pair.thermal, timestamp_ns=later.thermal.timestamp_ns))
            for later, pair in zip(pairs[shift:], pairs, strict=False)
        ]
        found = time_offset(moved, Registration(np.eye(3)))
        assert found.doubt == ""
        assert (found.offset_ns - own.offset_ns) / PERIOD_NS == pytest.approx(-shift, abs=0.1)
