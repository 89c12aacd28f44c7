"""Pairing by exposure: streams of frames of two cameras, in whatever order they come."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefusion.recordings.pairing import MOST_WAITING, TOLERANCE_NS, Match, Pairing, Side

MS = 1_000_000
Arrival = tuple[Side, int, tuple[Side, int]]


def arrivals(visible_ms: list[float], thermal_ms: list[float], late_ms: dict[Side, list[float]]) -> list[Arrival]:
    """Frames in the order in which they come, each named by its camera and time of exposure."""
    found = []
    for side, times in (("visible", visible_ms), ("thermal", thermal_ms)):
        for number, time in enumerate(times):
            late = late_ms[side][number % len(late_ms[side])]  # type: ignore[index]
            found.append((time + late, side, round(time * MS)))
    return [(side, stamp, (side, stamp)) for _, side, stamp in sorted(found)]  # type: ignore[misc]


def pair(visible_ms: list[float], thermal_ms: list[float], **late: list[float]) -> tuple[list[Match], Pairing]:
    pairing: Pairing[tuple[Side, int]] = Pairing()
    lateness: dict[Side, list[float]] = {"visible": late.get("visible", [0]), "thermal": late.get("thermal", [0])}
    return list(pairing.match(arrivals(visible_ms, thermal_ms, lateness))), pairing


def times(fps: float, seconds: float, *, offset_ms: float = 0) -> list[float]:
    return [offset_ms + 1000 * number / fps for number in range(int(seconds * fps))]


@pytest.mark.parametrize(("visible_fps", "thermal_fps", "expected"), [(30, 9, 18), (30, 60, 60), (30, 30, 60)])
def test_cameras_of_unequal_rates_give_a_pair_for_each_frame_of_the_slower(
    visible_fps: float, thermal_fps: float, expected: int
) -> None:
    matches, pairing = pair(times(visible_fps, 2), times(thermal_fps, 2, offset_ms=1))
    assert len(matches) == expected
    assert pairing.dropped["visible"] == 2 * visible_fps - expected
    assert pairing.dropped["thermal"] == 2 * thermal_fps - expected


def test_the_nearer_of_two_frames_is_taken() -> None:
    matches, _ = pair([0, 16, 32], [15])
    assert [(match.visible[1], match.thermal[1]) for match in matches] == [(16 * MS, 15 * MS)]
    assert (matches[0].visible_number, matches[0].thermal_number) == (1, 0)


def test_exposure_counts_and_not_arrival() -> None:
    matches, _ = pair(times(30, 1), times(30, 1), thermal=[90])
    assert [match.visible[1] for match in matches] == [match.thermal[1] for match in matches]
    assert len(matches) == 30


def test_what_is_farther_apart_than_the_tolerance_is_no_pair() -> None:
    matches, pairing = pair([0, 100], [20.1, 120.1])
    assert matches == []
    assert pairing.nearest_ns == round(20.1 * MS)
    assert pair([0, 100], [20, 120])[0] != []


def test_a_frame_that_comes_after_its_time_is_dropped() -> None:
    matches, pairing = pair(times(30, 2), times(30, 2), visible=[0] * 20 + [900] + [0] * 39)
    assert len(matches) == 59
    assert pairing.dropped == {"visible": 1, "thermal": 1}


def test_few_frames_wait_for_a_camera_that_stopped() -> None:
    held: deque[object] = deque()

    class Frame:
        def __init__(self) -> None:
            held.append(None)

        def __del__(self) -> None:
            held.pop()

    most = []

    def stream() -> object:
        yield "thermal", 0, Frame()
        for number in range(500):
            yield "visible", number * 33 * MS, Frame()
            most.append(len(held))

    list(Pairing().match(stream()))  # type: ignore[arg-type, var-annotated]
    assert max(most) <= MOST_WAITING + 4


@given(
    visible_fps=st.sampled_from([9, 25, 30, 60]), thermal_fps=st.sampled_from([9, 30, 60]),
    offset_ms=st.floats(-15, 15), jitter_ms=st.floats(0, 12), late_ms=st.floats(0, 80), gap=st.integers(0, 40),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_pairs_are_near_in_order_and_of_frames_used_once(
    visible_fps: int, thermal_fps: int, offset_ms: float, jitter_ms: float, late_ms: float, gap: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    visible, thermal = times(visible_fps, 3, offset_ms=100), times(thermal_fps, 3, offset_ms=100 + offset_ms)
    del thermal[len(thermal) // 2 : len(thermal) // 2 + gap]
    visible, thermal = ([time + draw.uniform(-1, 1) * jitter_ms for time in each] for each in (visible, thermal))
    matches, pairing = pair(visible, thermal, visible=[*draw.uniform(0, late_ms, 7)], thermal=[late_ms])
    assert all(abs(match.visible[1] - match.thermal[1]) <= TOLERANCE_NS for match in matches)
    for side in ("visible", "thermal"):
        stamps = [getattr(match, side)[1] for match in matches]
        assert stamps == sorted(set(stamps))
        assert all(getattr(match, side)[0] == side for match in matches)
        numbers = [getattr(match, f"{side}_number") for match in matches]
        assert numbers == sorted(set(numbers))
    assert pairing.dropped["visible"] == len(visible) - len(matches)
    assert pairing.dropped["thermal"] == len(thermal) - len(matches)


@given(fps=st.sampled_from([9, 30]), offset_ms=st.floats(-10, 10), jitter_ms=st.floats(0, 2), seed=st.integers(0, 99))
def test_equal_rates_lose_nothing(fps: int, offset_ms: float, jitter_ms: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    visible = [time + draw.uniform(-1, 1) * jitter_ms for time in times(fps, 3, offset_ms=100)]
    thermal = [time + draw.uniform(-1, 1) * jitter_ms for time in times(fps, 3, offset_ms=100 + offset_ms)]
    assert len(pair(visible, thermal)[0]) == len(visible)
