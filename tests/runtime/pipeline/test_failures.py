"""The failure policy: what is published when a camera misbehaves, and that no frame goes missing unseen."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from lanes import make_fusion
from live_rigs import VISIBLE_PX, Live, settings

import edgefusion as ef
from edgefusion.core.frames import DEGRADED, REGULAR, Flag, Frame
from edgefusion.core.geometry import Size
from edgefusion.recordings.pairing import Side
from edgefusion.recordings.video import VideoReader
from runtime.capture.faults import Fault

ENOUGH = 40
TALL_PX = (64, 96)
"""A camera of this size that changes its format is as high as an engine must be."""


def stretches(flags: list[Flag]) -> list[Flag]:
    """The flags in order, each once as long as it lasts."""
    return [flag for flag, _ in itertools.groupby(flags)]


def recovered(flag: Flag, count: int = 10):
    """Whether the flag was seen, and after it so many regular frames."""
    return lambda run: any(flag in each for each in run.flags) and run.flags[-count:] == [REGULAR] * count


def test_nothing_wrong_nothing_flagged() -> None:
    run = Live(until=lambda run: len(run.flags) >= ENOUGH)
    run.go()
    assert len(run.flags) >= ENOUGH
    assert set(run.flags) <= {REGULAR, Flag.STALE}
    assert run.flags.count(REGULAR) > 0.8 * len(run.flags)
    run.accounted()


def test_thermal_lost_visible_passes_through_and_thermal_comes_back() -> None:
    run = Live({"thermal": [Fault("disconnect", at_frame=20, seconds=1.0)]}, until=recovered(Flag.THERMAL_LOST))
    run.go()
    assert recovered(Flag.THERMAL_LOST)(run), stretches(run.flags)
    lost = [index for index, flags in enumerate(run.flags) if flags & Flag.THERMAL_LOST]
    for index in lost:
        np.testing.assert_allclose(run.images[index].astype(int), run.visibles[index].astype(int), atol=1)
    states = [state for side, state, _ in run.changes if side == "thermal"]
    assert states.index("reconnecting") < len(states) - 1 - states[::-1].index("live")
    assert run.lane.statistics.flagged["thermal_lost"] == len(lost)
    run.accounted()


def test_before_thermal_counts_as_lost_its_last_frame_is_held_and_marked() -> None:
    run = Live(
        {"thermal": [Fault("stall", at_frame=30, seconds=2.0)]},
        given=settings(hold_s=0.3),
        until=recovered(Flag.THERMAL_LOST),
    )
    run.go()
    order = stretches([flags for flags in run.flags if flags])
    assert Flag.STALE in order
    assert Flag.THERMAL_LOST in order
    assert order.index(Flag.STALE) < order.index(Flag.THERMAL_LOST)
    run.accounted()


def test_visible_lost_stops_publishing_until_it_is_back() -> None:
    run = Live(
        {"visible": [Fault("disconnect", at_frame=20, seconds=1.0)]},
        until=lambda run: run.cameras["visible"].frames_in > 20 and len(run.flags) > ENOUGH,
    )
    run.go()
    assert len(run.flags) > ENOUGH
    assert not any(flags & DEGRADED for flags in run.flags)
    assert [state for side, state, _ in run.changes if side == "visible"][-1] == "live"
    run.accounted()


def test_visible_lost_may_show_thermal_instead() -> None:
    run = Live(
        {"visible": [Fault("disconnect", at_frame=20, seconds=1.0)]},
        given=settings(visible_lost="thermal"),
        until=recovered(Flag.VISIBLE_LOST),
    )
    run.go()
    lost = [image for image, flags in zip(run.images, run.flags, strict=True) if flags & Flag.VISIBLE_LOST]
    assert lost
    for image in lost:
        assert (image[..., 0] == image[..., 1]).all()
        assert (image[..., 0] == image[..., 2]).all()
    assert lost[-1].std() > 1
    assert recovered(Flag.VISIBLE_LOST)(run), stretches(run.flags)
    run.accounted()


def test_a_closed_shutter_is_marked_stale() -> None:
    run = Live(
        {"thermal": [Fault("ffc", at_frame=40, seconds=0.6)]},
        given=settings(hold_s=2.0),
        until=lambda run: recovered(Flag.STALE)(run) and len(run.flags) > 90,
    )
    run.go()
    assert sum(bool(flags & Flag.STALE) for flags in run.flags) > 5
    assert not any(flags & DEGRADED for flags in run.flags)
    run.accounted()


def test_a_loop_that_is_late_drops_the_oldest_frames_and_queues_none() -> None:
    """Fusing takes the time of four frames, and the cameras have buffers for a queue of thirty."""
    given, newest, behind = settings(buffers=32), {"visible": 0, "thermal": 0}, []
    fusion = make_fusion(given.registration_for)
    prepare, execute = fusion.prepare, fusion.execute

    def taken(visible: Frame | None, thermal: Frame | None) -> Size:
        if visible is not None:
            behind.append(newest["visible"] - visible.sequence)
        return prepare(visible, thermal)

    def slow() -> None:
        time.sleep(4 / 60)
        execute()

    fusion.execute = slow  # type: ignore[method-assign]
    run = Live(given=given, fusion=fusion, until=lambda run: len(run.flags) >= ENOUGH)
    fusion.prepare = taken  # type: ignore[method-assign]
    run.rig.tell(lambda side, sequence, now_ns: newest.update({side: sequence}))
    run.go()
    assert run.rig.drops["visible late"] > ENOUGH
    assert np.median(behind[-ENOUGH // 2 :]) <= 4
    run.accounted()


def test_a_frame_that_comes_late_holds_nothing_up() -> None:
    run = Live(
        {"visible": [Fault("delay", at_frame=30, frames=1, by_s=0.5)]}, until=lambda run: len(run.flags) > 2 * ENOUGH
    )
    run.go()
    assert run.lane.statistics.latency.max_ms < 60_000
    run.accounted()


def test_registration_drift_passes_visible_through() -> None:
    def drifting(run: Live) -> bool:
        run.rig.set_drifted(10 <= len(run.flags) < 20)
        return len(run.flags) > 30

    run = Live(until=drifting)
    run.go()
    drifted = [index for index, flags in enumerate(run.flags) if flags & Flag.MISREGISTERED]
    assert drifted
    for index in drifted:
        np.testing.assert_allclose(run.images[index].astype(int), run.visibles[index].astype(int), atol=1)
    assert not run.flags[-1] & Flag.MISREGISTERED
    run.accounted()


@pytest.mark.parametrize("side", ["visible", "thermal"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", rate=0.2),
        Fault("damage", rate=0.2),
        Fault("short", at_frame=15, frames=2),
        Fault("corrupt", at_frame=15, frames=2),
        Fault("clock_jump", at_frame=15, by_s=3600.0),
        Fault("clock_jump", at_frame=15, by_s=-3600.0),
    ],
    ids=lambda fault: f"{fault.kind}{fault.by_s:+g}",
)
def test_what_a_bad_camera_does_is_survived(side, fault: Fault) -> None:
    run = Live({side: [fault]}, until=lambda run: len(run.flags) > 2 * ENOUGH and run.flags[-5:] == [REGULAR] * 5)
    run.go()
    assert run.flags[-5:] == [REGULAR] * 5, stretches(run.flags)
    run.accounted()


def test_a_stuck_camera_does_not_block_the_other() -> None:
    run = Live(
        {"thermal": [Fault("stall", at_frame=20, seconds=30.0)]},
        until=lambda run: run.flags[-20:] == [Flag.THERMAL_LOST] * 20,
    )
    run.go()
    assert run.flags[-20:] == [Flag.THERMAL_LOST] * 20


def test_a_slow_thermal_camera_is_held_marked_and_aged() -> None:
    run = Live(given=settings(fps=60, thermal_fps=9, hold_s=1.0), until=lambda run: len(run.flags) > 2 * ENOUGH)
    run.go()
    assert Flag.STALE in run.flags
    assert REGULAR in run.flags
    assert not any(flags & DEGRADED for flags in run.flags[ENOUGH:])
    run.accounted()


@contextmanager
def subscribed(name: str) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
    """What a reader gets that began before the run and goes on until its end: number and shape of each frame."""
    got: list[tuple[int, tuple[int, ...]]] = []
    with ef.subscribe(name, timeout_s=20, every=True, lease=False) as frames:

        def read() -> None:
            got.extend((frame.frame_id, frame.rgb.shape) for frame in frames)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield got
        finally:
            frames.close()
            reader.join()


def changes_format(side: Side, ring_name: str, *others: str) -> tuple[Live, list[tuple[int, tuple[int, ...]]]]:
    """A run whose camera's frames become half as high, and later what they were; its ring begins with another size."""
    given = settings()
    tall = given.visible.model_copy(update={"size_px": TALL_PX})
    run = Live(
        {side: [Fault("format", at_frame=20, frames=40)]},
        given=given.model_copy(update={"visible": tall}),
        outputs=(f"ring:{ring_name}", *others),
        until=lambda run: run.cameras[side].frames_in > 80 and run.flags[-10:] == [REGULAR] * 10,
    )
    run.lane.outputs.prepare(VISIBLE_PX)  # the run does so before the cameras are open, with what rig.toml says
    with subscribed(ring_name) as got:
        run.go()
    return run, got


def test_a_visible_camera_that_changes_its_size_goes_on_in_a_new_ring(ring_name: str, tmp_path: Path) -> None:
    video = tmp_path / "fused.mp4"
    run, got = changes_format("visible", ring_name, str(video))
    heights = [height for height, _ in itertools.groupby(shape[0] for _, shape in got)]
    assert heights == [TALL_PX[1], TALL_PX[1] // 2, TALL_PX[1]]
    numbers = [number for number, _ in got]
    assert numbers == sorted(set(numbers))
    assert run.rig.status()["cameras"]["visible"]["reconnects"] == 2
    assert [(to, "different sizes" in str(error)) for to, error in run.failed] == [(str(video), True)]
    assert VideoReader(video, "visible").size_px == TALL_PX
    assert ring_name not in ef.list_rings()
    run.accounted()


def test_a_thermal_camera_that_changes_its_size_leaves_the_ring_as_it_is(ring_name: str) -> None:
    run, got = changes_format("thermal", ring_name)
    assert {shape for _, shape in got} == {(TALL_PX[1], TALL_PX[0], 3)}
    assert [number for number, _ in got] == sorted({number for number, _ in got})
    assert run.rig.status()["cameras"]["thermal"]["reconnects"] == 2
    run.accounted()
