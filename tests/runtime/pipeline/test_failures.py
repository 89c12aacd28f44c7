"""The failure policy: what is published when a camera misbehaves, and that no frame goes missing unseen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from live_rigs import Live, settings

from edgefusion.core.frames import DEGRADED, REGULAR, Flag
from runtime.capture.faults import Fault

ENOUGH = 40


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


def test_frames_that_come_late_are_dropped_and_never_queued() -> None:
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
