"""Every fault that a camera can have, and that no frame is lost track of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import numpy as np
import pytest
from cameras import THERMAL_PX, VISIBLE_PX, next_frame, thermal_settings, visible_settings
from hypothesis import given, settings
from hypothesis import strategies as st

import runtime.capture
from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.frames import VISIBLE_FORMATS, Frame, PixelFormat
from runtime.capture import Fault, FaultyCamera
from runtime.capture.base import CameraLostError
from runtime.capture.simulated import SimulatedRig
from runtime.capture.simulated_camera import SimulatedCamera

FPS = 30.0
STEP_NS = round(1e9 / FPS)


class Counted(SimulatedCamera):
    """A simulated camera that knows which frames were not released; without pace, stamped as if it had been paced."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.given, self.open_frames, self.opens = 0, 0, 0
        self.made_ns = time.monotonic_ns()

    def open(self) -> Any:
        self.opens += 1
        return super().open()

    def read(self, timeout_s: float) -> Frame | None:
        frame = super().read(timeout_s)
        if frame is None:
            return None
        self.given += 1
        self.open_frames += 1
        release = frame.release

        def counted() -> None:
            self.open_frames -= 1
            release()

        stamp_ns = frame.timestamp_ns if self.facts["paced"] else self.made_ns + round(frame.sequence * 1e9 / FPS)
        return Frame(frame.pixels, frame.format, stamp_ns, frame.clock, frame.sequence, counted)


def source(address: str = "pace=0,prerender=8", **given: Any) -> Counted:
    return Counted(address, thermal_settings(**given), "thermal")


@contextmanager
def faulty(*faults: Fault, seed: int = 0, camera: Counted | None = None) -> Iterator[FaultyCamera]:
    wrapped = FaultyCamera(camera or source(), *faults, seed=seed)
    wrapped.open()
    with closing(wrapped):
        yield wrapped


def frames(camera: FaultyCamera, count: int) -> list[Frame]:
    """Released, but with copies of their pixels."""
    found = []
    for _ in range(count):
        frame = next_frame(camera)
        found.append(Frame(frame.pixels.copy(), frame.format, frame.timestamp_ns, frame.clock, frame.sequence))
        frame.release()
    return found


def numbers(found: list[Frame]) -> list[int]:
    return [frame.sequence for frame in found]


def live(index: int) -> Any:
    """What the camera saw in frame ``index``."""
    return SimulatedRig(thermal_size_px=THERMAL_PX).render(index % 8).thermal.pixels


def test_the_package_gives_them_when_they_are_asked_for() -> None:
    assert {"Fault", "FaultyCamera", "open_camera"} == set(runtime.capture.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = runtime.capture.nothing


def test_without_faults_every_frame_passes_and_its_pixels_are_not_touched() -> None:
    with faulty() as camera:
        assert camera.facts["kind"] == "simulated"
        frame, again = next_frame(camera), next_frame(camera.camera)
        assert frame.sequence + 1 == again.sequence
        assert frame.pixels.base is not None  # still a buffer of the camera's
        frame.release()
    assert camera.frames_in == camera.frames_out == 1


def test_drop() -> None:
    with faulty(Fault("drop", at_frame=2, frames=3)) as camera:
        assert numbers(frames(camera, 4)) == [0, 1, 5, 6]
    assert camera.swallowed == {"drop": 3}


def test_a_fault_by_time_counts_the_timestamps() -> None:
    with faulty(Fault("drop", at_s=0.1, seconds=0.2)) as camera:
        missing = set(range(12)) - set(numbers(frames(camera, 8)))
    assert missing == {3, 4, 5, 6, 7, 8}


def test_a_fault_at_random_is_the_same_for_the_same_seed() -> None:
    runs = []
    for seed in (1, 1, 2):
        with faulty(Fault("drop", rate=0.3), seed=seed) as camera:
            runs.append(numbers(frames(camera, 60)))
    assert runs[0] == runs[1] != runs[2]
    assert 10 < runs[0][-1] - 59 < 50


def test_a_delayed_frame_is_late_by_its_timestamp_and_still_in_order() -> None:
    fault = Fault("delay", at_frame=1, by_s=0.15)
    with faulty(fault, camera=source("prerender=8", fps=20)) as camera:
        next_frame(camera).release()
        frame = next_frame(camera)
        assert time.monotonic_ns() - frame.timestamp_ns >= 150_000_000
        assert frame.sequence < next_frame(camera).sequence


def test_a_delayed_frame_that_nobody_waited_for_is_released() -> None:
    with faulty(Fault("delay", at_frame=0, by_s=60)) as camera:
        assert camera.read(0.05) is None
    assert camera.swallowed == {"delay": 1}
    assert camera.camera.open_frames == 0  # type: ignore[attr-defined]


def test_freeze_repeats_a_frame_with_its_timestamp() -> None:
    with faulty(Fault("freeze", at_frame=2, frames=2)) as camera:
        found = frames(camera, 5)
    assert numbers(found) == [0, 1, 1, 1, 4]
    assert found[3].timestamp_ns == found[1].timestamp_ns
    assert np.array_equal(found[3].pixels, live(1))
    assert np.array_equal(found[4].pixels, live(4))


def test_ffc_is_half_a_second_of_one_picture_with_fresh_timestamps() -> None:
    with faulty(Fault("ffc", at_frame=3)) as camera:
        found = frames(camera, 20)
    assert numbers(found) == list(range(20))
    assert all(np.array_equal(frame.pixels, live(2)) for frame in found[2:18])  # 15 frames at 30 a second
    assert np.array_equal(found[19].pixels, live(19))
    steps = np.diff([frame.timestamp_ns for frame in found])
    assert np.abs(steps - STEP_NS).max() <= 1


def test_a_frozen_picture_does_not_change_when_the_buffer_does() -> None:
    with faulty(Fault("ffc", at_frame=1), camera=source("pace=0", buffers=4)) as camera:
        next_frame(camera).release()
        held = next_frame(camera)
        for frame in frames(camera, 6):
            assert np.array_equal(frame.pixels, held.pixels)


def test_stall_gives_nothing_for_a_while() -> None:
    with faulty(Fault("stall", at_frame=1, seconds=0.3)) as camera:
        next_frame(camera).release()
        began = time.monotonic()
        assert camera.read(0.05) is None
        assert next_frame(camera).sequence > 1
        assert time.monotonic() - began >= 0.3
    assert camera.swallowed == {"stall": 1}


def test_stall_of_frames() -> None:
    with faulty(Fault("stall", at_frame=1, frames=4)) as camera:
        assert numbers(frames(camera, 2)) == [0, 5]


def test_damage_changes_a_piece_of_the_picture_and_leaves_the_camera_alone() -> None:
    with faulty(Fault("damage", at_frame=1), camera=source("pace=0,prerender=2")) as camera:
        good, bad, good_again, as_drawn = frames(camera, 4)
    assert np.array_equal(good.pixels, good_again.pixels)
    assert np.array_equal(as_drawn.pixels, SimulatedRig(thermal_size_px=THERMAL_PX).render(1).thermal.pixels)
    share = (bad.pixels != as_drawn.pixels).mean()
    assert 0.05 < share < 0.2


@pytest.mark.parametrize(
    ("kind", "said"), [("short", r"\d+ bytes, where a frame has 2560"), ("corrupt", "driver says that the picture")]
)
def test_what_a_driver_reports_is_an_error_for_that_frame(kind: Any, said: str) -> None:
    with faulty(Fault(kind, at_frame=1)) as camera:
        next_frame(camera).release()
        with pytest.raises(InputError, match=said):
            camera.read(5)
        assert next_frame(camera).sequence == 2
    assert camera.swallowed == {kind: 1}


@pytest.mark.parametrize("kind", VISIBLE_FORMATS)
def test_a_changed_format_is_an_error_until_the_camera_is_opened_again(kind: PixelFormat) -> None:
    inner = Counted("pace=0", visible_settings(format=kind), "visible")
    with faulty(Fault("format", at_frame=1, frames=4), camera=inner) as camera:
        next_frame(camera).release()
        for _ in range(2):
            with pytest.raises(InputError, match=rf"frames are {kind.value} 64x24 now, not {kind.value} 64x48"):
                camera.read(5)
        camera.close()
        assert camera.open() == (kind, (64, 24))
        assert [frame.size_px for frame in frames(camera, 2)] == [(64, 24)] * 2
        with pytest.raises(InputError, match="64x48 now, not"):
            camera.read(5)
        camera.close()
        assert camera.open() == (kind, VISIBLE_PX)
        next_frame(camera).release()


def test_a_disconnected_camera_is_closed_and_comes_back() -> None:
    inner = source()
    with faulty(Fault("disconnect", at_frame=2, seconds=0.3), camera=inner) as camera:
        frames(camera, 2)
        for _ in range(2):
            with pytest.raises(CameraLostError, match="disconnected"):
                camera.read(5)
        camera.close()
        with pytest.raises(CameraLostError):
            camera.open()
        assert inner.opens == 1
        time.sleep(0.3)
        camera.open()
        assert inner.opens == 2
        assert numbers(frames(camera, 2)) == [3, 4]
    assert camera.swallowed == {"disconnect": 1}


def test_the_clock_jumps_for_good_or_for_a_while() -> None:
    with faulty(Fault("clock_jump", at_frame=2, by_s=-5), Fault("drop", at_frame=4)) as camera:
        found = frames(camera, 5)
    steps = np.diff([frame.timestamp_ns for frame in found])
    assert np.abs(steps - [STEP_NS, STEP_NS - 5_000_000_000, STEP_NS, 2 * STEP_NS]).max() <= 2
    with faulty(Fault("clock_jump", at_frame=1, frames=1, by_s=1)) as camera:
        found = frames(camera, 3)
    assert found[2].timestamp_ns - found[0].timestamp_ns <= 2 * STEP_NS + 2 < found[1].timestamp_ns


def test_faults_at_one_time_add_up() -> None:
    with faulty(Fault("ffc", at_frame=1, frames=3), Fault("clock_jump", at_frame=1, by_s=9)) as camera:
        found = frames(camera, 3)
    assert np.array_equal(found[2].pixels, live(0))
    assert found[2].timestamp_ns - found[0].timestamp_ns > 9_000_000_000


DURATIONS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"frames": st.integers(1, 5)}),
    st.fixed_dictionaries({"seconds": st.floats(0.001, 0.2)}),
    st.just({}),
)
WHEN: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"at_frame": st.integers(0, 30)}),
    st.fixed_dictionaries({"at_s": st.floats(0, 1)}),
    st.fixed_dictionaries({"rate": st.floats(0, 0.2)}),
)


@st.composite
def any_fault(draw: st.DrawFn) -> Fault:
    kind = draw(st.sampled_from(("drop", "freeze", "ffc", "damage", "short", "corrupt", "format", "clock_jump")))
    by_s = draw(st.floats(-9, 9).filter(bool)) if kind == "clock_jump" else 0.0
    return Fault(kind, **draw(WHEN), **draw(DURATIONS), by_s=by_s)  # type: ignore[arg-type]


@st.composite
def brief_fault(draw: st.DrawFn) -> Fault:
    """Of those that last by the clock, or are late."""
    kind = draw(st.sampled_from(("stall", "disconnect", "delay")))
    if kind == "delay":
        return Fault("delay", **draw(WHEN), by_s=draw(st.floats(0.0001, 0.002)))
    return Fault(kind, **draw(WHEN), seconds=draw(st.floats(0.0001, 0.002)))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(any_fault(), brief_fault()), max_size=5), st.integers(0, 3))
def test_every_frame_that_came_was_given_on_or_swallowed(faults: list[Fault], seed: int) -> None:
    inner = source("pace=0,prerender=2")
    camera = FaultyCamera(inner, *faults, seed=seed)
    camera.open()
    held: list[Frame] = []
    for _ in range(50):
        try:
            frame = camera.read(0.001)
        except InputError:
            continue
        except CameraLostError:
            camera.close()
            with suppress(CameraLostError):
                camera.open()
            continue
        if frame is not None:
            held.append(frame)
        if len(held) > 1:
            held.pop(0).release()
    camera.close()
    assert inner.given == camera.frames_in == camera.frames_out + camera.swallowed.total()
    assert inner.open_frames == len(held)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "melt", "at_frame": 1}, "no such kind; one of drop, delay"),
        ({"kind": "drop"}, "give one of at_frame, at_s and rate"),
        ({"kind": "drop", "at_frame": 1, "rate": 0.5}, "give one of"),
        ({"kind": "drop", "at_frame": 1, "frames": 1, "seconds": 1}, "frames or seconds"),
        ({"kind": "drop", "at_frame": -1}, "before the start"),
        ({"kind": "drop", "at_s": float("nan")}, "before the start"),
        ({"kind": "drop", "at_frame": 1, "frames": 0}, "more than 0"),
        ({"kind": "drop", "rate": 1.5}, "a probability"),
        ({"kind": "delay", "at_frame": 1}, "by_s"),
        ({"kind": "delay", "at_frame": 1, "by_s": -1}, "more than 0"),
        ({"kind": "drop", "at_frame": 1, "by_s": 1}, "left out else"),
        ({"kind": "disconnect", "at_frame": 1, "frames": 3}, "give seconds"),
    ],
)
def test_a_fault_that_makes_no_sense_says_what_would(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Fault(**given)
