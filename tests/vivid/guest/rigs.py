"""A live rig of two V4L2 cameras: paired by the driver's timestamps, whatever happens to one or both of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from devices import DRIVER, THERMAL, VISIBLE, path_of, push, thermal, visible

from edgefusion.core.errors import EdgeFusionError
from edgefusion.core.frames import Flag
from edgefusion.core.rig import Policy, Rig
from runtime.capture.v4l2 import V4l2Camera
from runtime.sync.live import LiveRig
from runtime.sync.moments import Moment

FPS = 10
TOLERANCE_MS = 1000 / FPS / 2 + 10
PATIENCE_S = 40
STAMPS = {"timestamp_source": "Start of Exposure"}
"""The other one is when a frame's end should be, which may be yet to come."""


@contextmanager
def live(memory: str = "auto") -> Iterator[LiveRig]:
    """Two webcams that run freely: of one rate, their exposures are at most half a period apart."""
    settings = Rig(
        visible=visible(fps=FPS, memory=memory, controls=STAMPS),
        thermal=thermal(fps=FPS, memory=memory, controls=STAMPS, hold_s=0.3),
        registration=tuple(map(tuple, np.eye(3).tolist())),
        tolerance_ms=TOLERANCE_MS,
        policy=Policy(lost_after_s=0.6, reconnect_s=0.5),
    )
    cameras = {
        "visible": V4l2Camera(path_of(VISIBLE), settings.visible, "visible"),
        "thermal": V4l2Camera(path_of(THERMAL), settings.thermal, "thermal"),
    }
    with LiveRig(settings, cameras, wake=threading.Condition()) as rig:
        yield rig


def until(rig: LiveRig, wanted: Callable[[Moment], bool]) -> Moment:
    """Take moments, and give them back, until one is as wanted."""
    end = time.monotonic() + PATIENCE_S
    seen: Counter[tuple[Flag, int]] = Counter()
    while time.monotonic() < end:
        if moment := rig.next(0.5):
            moment.release()
            if wanted(moment):
                return moment
            seen[moment.flags, round(moment.thermal_age_ns / 1e7)] += 1
    raise AssertionError(f"it did not come, but these (flags, age in 10 ms): {seen.most_common(9)}; {rig.status()}")


def paired(moment: Moment) -> bool:
    return moment.pair is not None and not moment.flags


@pytest.mark.parametrize("memory", ["auto", "userptr", "mmap", "copy"])
def test_pairs_are_of_one_moment(memory: str) -> None:
    with live(memory) as rig:
        pairs = np.array([_numbers(until(rig, paired)) for _ in range(6)])
        status = rig.status()["cameras"]
    stamps_ns, sequences, ages_ns = pairs[:, :2], pairs[:, 2:4], pairs[:, 4]
    assert (np.diff(stamps_ns, axis=0) > 0).all()
    assert (np.diff(sequences, axis=0) > 0).all()
    assert (np.abs(ages_ns) <= TOLERANCE_MS * 1e6).all()
    np.testing.assert_array_equal(ages_ns, stamps_ns[:, 0] - stamps_ns[:, 1])
    assert {status[side]["timestamps"] for side in status} == {"monotonic, start of exposure"}
    assert {status[side]["memory"] for side in status} == {"userptr" if memory == "auto" else memory}


def _numbers(moment: Moment) -> tuple[int, ...]:
    """Timestamps, sequence numbers and age; pixels that somebody keeps would keep their device open."""
    first, second = moment.visible, moment.thermal
    assert first is not None
    assert second is not None
    return first.timestamp_ns, second.timestamp_ns, first.sequence, second.sequence, moment.thermal_age_ns


@pytest.mark.parametrize("device", [THERMAL, VISIBLE])
def test_one_disconnected_in_mid_run_comes_back(device: int) -> None:
    with live() as rig:
        until(rig, paired)
        side = "thermal" if device == THERMAL else "visible"
        push(device, disconnect=True)
        if device == THERMAL:  # the visible one goes on; how long, depends on how soon the other is back
            until(rig, lambda moment: moment.flags in (Flag.STALE, Flag.THERMAL_LOST))
        until(rig, lambda moment: paired(moment) and rig.status()["cameras"][side]["reconnects"] > 0)
        other = "visible" if device == THERMAL else "thermal"
        assert rig.status()["cameras"][other]["reconnects"] == 0


def test_both_unplugged_and_plugged_in_again_come_back() -> None:
    with live() as rig:
        last = until(rig, paired).exposure_ns
        (DRIVER / "unbind").write_text("vivid.0")
        time.sleep(0.5)
        (DRIVER / "bind").write_text("vivid.0")
        until(rig, lambda moment: paired(moment) and moment.exposure_ns > last + 500_000_000)
        status = rig.status()["cameras"]
        assert min(status[side]["reconnects"] for side in status) > 0


def test_a_busy_camera_is_an_error_at_once() -> None:
    with live(), pytest.raises(EdgeFusionError, match="busy"):
        live().__enter__()
