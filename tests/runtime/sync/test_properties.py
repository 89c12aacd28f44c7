"""What holds for any two cameras: whatever their rates, delays, order of arrival, faults and clocks."""

from __future__ import annotations

from collections import Counter

from arrivals import MS, Arrival, Loop
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rigs import small_rig

from edgefusion.core.frames import Flag
from edgefusion.core.rig import Rig
from edgefusion.recordings.pairing import Side

FPS = st.sampled_from([7.5, 9, 15, 25, 30, 60, 120])


@st.composite
def camera(draw: st.DrawFn, side: Side, *, faults: bool = True) -> list[Arrival]:
    """Frames with jitter, some of which never come; with faults also late ones, jumps, repeats, frozen pictures."""
    period_ms, count = 1000 / draw(FPS), draw(st.integers(0, 40))
    offset_ms, delay_ms = draw(st.floats(0, 60)), draw(st.floats(0, 60))
    jitter = draw(st.lists(st.floats(-4, 4), min_size=1, max_size=8))
    lateness = draw(st.lists(st.sampled_from([0, 0, 0, 1, 5, 40, 120, 300]), min_size=1, max_size=8)) if faults else [0]
    missing = draw(st.sets(st.integers(0, 40), max_size=15))
    jumps = draw(st.dictionaries(st.integers(0, 40), st.sampled_from([-5e3, -400, -30, 30, 400, 5e3]), max_size=3))
    repeats = draw(st.sets(st.integers(0, 40), max_size=4)) if faults else set()
    frozen_from = draw(st.integers(0, 60)) if faults else 60
    arrivals, jumped_ms = [], 0.0
    for number in sorted(set(range(count)) - missing):
        jumped_ms += jumps.get(number, 0) if faults else 0
        exposed_ms = offset_ms + number * period_ms + jitter[number % len(jitter)]
        at_ms = max(0, exposed_ms) + delay_ms + lateness[number % len(lateness)]
        picture = 255 if number >= frozen_from else None
        arrival = Arrival(at_ms, side, exposed_ms + jumped_ms, picture)
        arrivals += [arrival] * (2 if number in repeats else 1)
    return arrivals


def rigs() -> st.SearchStrategy[Rig]:
    return st.builds(
        small_rig,
        tolerance_ms=st.sampled_from([1, 8, 20, 50]),
        hold_s=st.sampled_from([0, 0.1, 0.5]),
        buffers=st.integers(3, 8),
        visible_lost=st.sampled_from(["stop", "thermal"]),
        lost_after_s=st.sampled_from([0.1, 0.5]),
    )


@settings(max_examples=150, deadline=None)
@given(rigs(), camera("visible"), camera("thermal"), st.sampled_from([0, 3, 20, 50, 200]), st.booleans())
def test_whatever_comes_is_paired_in_time_and_in_order_and_accounted_for(
    rig: Rig, visible: list[Arrival], thermal: list[Arrival], busy_ms: float, ends: bool
) -> None:
    loop = Loop(rig, busy_ms).play(visible + thermal)
    if ends:
        loop.sync.end("visible")
        loop.sync.end("thermal")
    loop.turn_until(loop.now_ms + 2000)
    assert not ends or loop.sync.ended
    loop.close()
    check_order(loop)
    check_ages(loop)
    check_use(loop)
    check_accounts(loop)


def check_order(loop: Loop) -> None:
    exposures = [moment.exposure_ns for _, moment in loop.moments]
    assert exposures == sorted(set(exposures))
    for frames in (
        [moment.visible.sequence for _, moment in loop.moments if moment.visible],
        [moment.thermal.sequence for _, moment in loop.moments if moment.thermal],
    ):
        assert frames == sorted(frames)


def check_ages(loop: Loop) -> None:
    for _, moment in loop.moments:
        age_ns, both = moment.thermal_age_ns, moment.visible and moment.thermal
        if both and not moment.flags & Flag.STALE:
            assert abs(age_ns) <= loop.rig.tolerance_ms * MS
        assert age_ns >= -loop.rig.tolerance_ms * MS
        assert age_ns <= max(loop.rig.thermal.hold_s * 1000, loop.rig.tolerance_ms) * MS
        assert bool(moment.flags & Flag.THERMAL_LOST) == (moment.thermal is None)
        assert bool(moment.flags & Flag.VISIBLE_LOST) == (moment.visible is None)


def check_use(loop: Loop) -> None:
    """No visible frame twice, and no thermal one unless marked stale."""
    visible = Counter(moment.visible.sequence for _, moment in loop.moments if moment.visible)
    assert max(visible.values(), default=0) <= 1
    seen = set()
    for _, moment in loop.moments:
        if moment.thermal:
            assert moment.thermal.sequence not in seen or moment.flags & Flag.STALE
            seen.add(moment.thermal.sequence)


def check_accounts(loop: Loop) -> None:
    """Every frame was released once, few were held at once, and what came = used + dropped."""
    for side, queue in loop.sync.queues.items():
        assert loop.most_alive[side] <= loop.rig.visible.buffers - 2
        assert queue.arrived == queue.used + sum(queue.dropped.values())
        assert queue.lost == sum(queue.dropped.values()) - queue.dropped["starting"]
        assert queue.alive == 0
        assert len([key for key in loop.released if key[0] == side]) == queue.arrived
    assert set(loop.released.values()) <= {1}
    used = [{frame.sequence for _, m in loop.moments if (frame := getattr(m, side))} for side in loop.sync.queues]
    assert [len(sequences) for sequences in used] == [queue.used for queue in loop.sync.queues.values()]


@settings(max_examples=100, deadline=None)
@given(camera("visible", faults=False), camera("thermal", faults=False), st.sampled_from([5, 20]))
def test_with_steady_delays_a_pair_is_never_passed_over(
    visible: list[Arrival], thermal: list[Arrival], tolerance_ms: float
) -> None:
    """A thermal frame that is there, older, the nearest, and near to no other visible frame, makes a pair."""
    loop = Loop(small_rig(tolerance_ms=tolerance_ms, buffers=32)).play(visible + thermal)
    loop.turn_until(loop.now_ms + 2000)
    paired = {
        moment.visible.sequence: moment.thermal.sequence
        for _, moment in loop.moments
        if moment.visible and moment.thermal and not moment.flags
    }
    for number, frame in enumerate(visible):
        gaps = sorted(abs(other.exposed_ms - frame.exposed_ms) for other in thermal)
        here = [other for other in thermal if other.at_ms < frame.at_ms and other.exposed_ms <= frame.exposed_ms]
        best = min(here, key=lambda other: abs(other.exposed_ms - frame.exposed_ms), default=None)
        alone = best and all(abs(v.exposed_ms - best.exposed_ms) > 2 * tolerance_ms for v in visible if v != frame)
        if best and alone and abs(best.exposed_ms - frame.exposed_ms) == gaps[0] <= tolerance_ms - 0.001:
            assert number in paired
