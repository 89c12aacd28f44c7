"""Moments by exposure time: what a loop gets from two cameras, on a clock that the test moves."""

from __future__ import annotations

import pytest
from arrivals import MS, REALTIME_NS, START_NS, Arrival, Loop, stream
from small_rigs import small_rig

from edgefusion.core.frames import REGULAR, Flag


def skews_ms(loop: Loop) -> list[float]:
    return [moment.thermal_age_ns / MS for _, moment in loop.moments]


def flags(loop: Loop) -> list[Flag]:
    return [moment.flags for _, moment in loop.moments]


def latencies_ms(loop: Loop) -> list[float]:
    return [at_ms - (moment.exposure_ns - START_NS) / MS for at_ms, moment in loop.moments]


def test_cameras_of_one_rate_give_each_visible_frame_its_thermal_one() -> None:
    loop = Loop(small_rig()).play(stream("visible", 30, 2) + stream("thermal", 30, 2, offset_ms=3, delay_ms=9))
    assert len(loop.moments) == 60
    assert set(flags(loop)) == {REGULAR}
    assert skews_ms(loop) == pytest.approx([-3] * 60, abs=0.01)
    assert loop.drops("visible") == loop.drops("thermal") == {}


def test_each_visible_frame_gets_the_nearest_of_a_faster_thermal_camera() -> None:
    loop = Loop(small_rig()).play(stream("visible", 30, 2) + stream("thermal", 60, 2, offset_ms=-6))
    assert len(loop.moments) == 60
    assert set(flags(loop)) == {REGULAR}
    assert max(map(abs, skews_ms(loop))) <= 6.01
    assert set(loop.drops("thermal")) == {"unpaired"}


def test_a_slow_thermal_frame_is_held_marked_stale_and_its_age_is_told() -> None:
    loop = Loop(small_rig()).play(stream("visible", 30, 3) + stream("thermal", 9, 3))
    assert len(loop.moments) == 90
    fresh = [moment for _, moment in loop.moments if moment.flags == REGULAR]
    stale = [moment for _, moment in loop.moments if moment.flags == Flag.STALE]
    assert len(fresh) >= 25  # of 27: the camera's rate must be learned first
    assert len(fresh) + len(stale) == 90
    assert all(abs(moment.thermal_age_ns) <= 20 * MS for moment in fresh)
    assert all(0 < moment.thermal_age_ns <= 111.2 * MS for moment in stale)
    assert all(moment.thermal is not None for moment in stale)


def test_exposure_counts_and_not_arrival() -> None:
    late = stream("thermal", 30, 2, delay_ms=45)
    loop = Loop(small_rig(buffers=6)).play(stream("visible", 30, 2) + late)
    assert set(flags(loop)) == {REGULAR}
    assert skews_ms(loop) == [0] * len(loop.moments)
    assert len(loop.moments) >= 58  # the last ones still wait


def test_a_thermal_camera_too_late_for_the_buffers_serves_stale_frames_and_visible_is_not_dropped() -> None:
    late = stream("thermal", 30, 2, delay_ms=80)
    loop = Loop(small_rig(buffers=4)).play(stream("visible", 30, 2) + late)
    assert set(flags(loop)[10:-1]) == {Flag.STALE}
    assert set(loop.drops("visible")) <= {"starting"}


def test_a_rig_of_one_rate_waits_no_longer_than_the_thermal_frame_takes() -> None:
    cameras = stream("visible", 30, 2) + stream("thermal", 30, 2, offset_ms=4, delay_ms=6)
    assert max(latencies_ms(Loop(small_rig()).play(cameras))) <= 10.01


def test_a_thermal_frame_that_never_comes_is_not_waited_for_longer_than_it_usually_takes() -> None:
    thermal = [frame for number, frame in enumerate(stream("thermal", 30, 2, delay_ms=8)) if number % 7 != 6]
    loop = Loop(small_rig()).play(stream("visible", 30, 2) + thermal)
    assert flags(loop).count(Flag.STALE) == 8
    assert max(latencies_ms(loop)) <= 8 + 1000 / 30 / 8 + 0.1


def test_two_cameras_in_opposite_phase_keep_their_pairs_although_exposures_jitter() -> None:
    jitter = [0.4, -0.4, 0.1, -0.3, 0.2]
    thermal = [
        Arrival(frame.at_ms, "thermal", frame.exposed_ms + 1000 / 60 + jitter[number % 5])
        for number, frame in enumerate(stream("thermal", 30, 2, delay_ms=22))
    ]
    loop = Loop(small_rig()).play(stream("visible", 30, 2) + thermal)
    assert flags(loop).count(Flag.STALE) <= 2  # of 60


def test_silence_is_stale_up_to_the_hold_then_thermal_is_lost_then_it_is_back() -> None:
    gap = [frame for frame in stream("thermal", 30, 4) if not 1000 <= frame.exposed_ms < 3000]
    loop = Loop(small_rig(hold_s=0.5)).play(stream("visible", 30, 4) + gap)
    seconds = [(moment.exposure_ns - START_NS) / 1e9 for _, moment in loop.moments]
    assert len(seconds) == 120
    for second, moment in zip(seconds, (moment for _, moment in loop.moments), strict=True):
        stale, lost = 0.99 < second <= 1.46, 1.5 < second < 2.99
        assert not stale or moment.flags == Flag.STALE
        assert not lost or (moment.flags == Flag.THERMAL_LOST and moment.thermal is None)
        assert not second > 3.01 or moment.flags == REGULAR
    assert loop.alive["thermal"] <= 2


def test_a_repeated_picture_is_a_closed_shutter() -> None:
    frozen = [
        Arrival(frame.at_ms, "thermal", frame.exposed_ms, picture=7 if 1000 <= frame.exposed_ms < 2000 else None)
        for frame in stream("thermal", 30, 3)
    ]
    loop = Loop(small_rig(hold_s=0.5)).play(stream("visible", 30, 3) + frozen)
    by_time = {round((moment.exposure_ns - START_NS) / MS): moment for _, moment in loop.moments}
    assert by_time[1100].flags == REGULAR
    assert by_time[1200].flags == Flag.STALE
    assert by_time[1200].thermal_age_ns == pytest.approx(200 * MS, abs=MS)
    assert by_time[1600].flags == Flag.THERMAL_LOST
    assert by_time[2100].flags == REGULAR
    assert loop.drops("thermal")["frozen"] > 10


def test_a_picture_sent_three_times_is_no_closed_shutter() -> None:
    thrice = [
        Arrival(frame.at_ms, "thermal", frame.exposed_ms, picture=number // 3 % 200)
        for number, frame in enumerate(stream("thermal", 27, 2))
    ]
    loop = Loop(small_rig()).play(stream("visible", 27, 2) + thrice)
    assert set(flags(loop)) == {REGULAR}


def test_without_visible_nothing_is_published() -> None:
    visible = [frame for frame in stream("visible", 30, 4) if not 1000 <= frame.exposed_ms < 3000]
    loop = Loop(small_rig()).play(visible + stream("thermal", 30, 4))
    assert len(loop.moments) == 60
    assert set(flags(loop)) == {REGULAR}
    assert loop.drops("thermal") == {"unpaired": loop.drops("thermal")["unpaired"]}


def test_without_visible_thermal_goes_alone_if_the_rig_says_so() -> None:
    visible = [frame for frame in stream("visible", 30, 4) if not 1000 <= frame.exposed_ms < 3000]
    loop = Loop(small_rig(visible_lost="thermal", lost_after_s=0.5)).play(visible + stream("thermal", 30, 4))
    alone = [moment for _, moment in loop.moments if moment.flags == Flag.VISIBLE_LOST]
    assert len(alone) >= 44
    assert all(moment.visible is None and moment.thermal is not None for moment in alone)
    exposures = [moment.exposure_ns for _, moment in loop.moments]
    assert exposures == sorted(set(exposures))
    assert flags(loop)[-1] == REGULAR


def test_the_loop_that_is_too_slow_gets_the_newest_and_the_rest_is_late() -> None:
    loop = Loop(small_rig(), busy_ms=70).play(stream("visible", 30, 3) + stream("thermal", 30, 3))
    assert set(loop.drops("visible")) <= {"late", "overrun"}
    assert loop.drops("visible")["late"] > 30
    assert max(latencies_ms(loop)) < 45


def test_a_frame_that_waited_for_its_partner_is_not_late() -> None:
    """Frame 30's partner is missing, which is known only when 31's comes: both are ready then, and the loop is idle."""
    thermal = [
        Arrival(frame.exposed_ms + (30 if number % 2 else 62), "thermal", frame.exposed_ms)
        for number, frame in enumerate(stream("thermal", 30, 2))
        if number != 30
    ]
    loop = Loop(small_rig(buffers=8)).play(stream("visible", 30, 2) + thermal)
    assert flags(loop)[30:32] == [Flag.STALE, REGULAR]
    assert loop.moments[31][0] == pytest.approx(loop.moments[30][0])
    assert loop.drops("visible") == {}


def test_visible_frames_before_the_first_thermal_one_wait_or_are_dropped() -> None:
    thermal = [frame for frame in stream("thermal", 30, 2) if frame.exposed_ms > 400]
    loop = Loop(small_rig()).play(stream("visible", 30, 2) + thermal)
    assert set(flags(loop)) == {REGULAR}
    assert loop.drops("visible") == {"starting": 13}


def test_a_thermal_camera_that_never_begins_is_lost_after_a_while() -> None:
    loop = Loop(small_rig(lost_after_s=0.5)).play(stream("visible", 30, 2))
    assert set(flags(loop)) == {Flag.THERMAL_LOST}
    assert len(loop.moments) >= 44


def test_a_camera_that_is_gone_is_not_waited_for() -> None:
    loop = Loop(small_rig())
    loop.sync.gone("thermal")
    loop.play(stream("visible", 30, 1))
    assert set(flags(loop)) == {Flag.THERMAL_LOST}
    assert max(latencies_ms(loop)) == pytest.approx(5)


def test_a_camera_that_was_gone_is_waited_for_again_when_it_is_back() -> None:
    loop = Loop(small_rig()).play(stream("visible", 30, 1) + stream("thermal", 30, 1, delay_ms=9))
    loop.sync.gone("thermal")
    again = stream("visible", 30, 1, offset_ms=1000) + stream("thermal", 30, 1, offset_ms=1000, delay_ms=9)
    assert set(flags(loop.play(again))[32:]) == {REGULAR}


def test_a_visible_camera_that_is_later_than_thermal_finds_its_partners_still_there() -> None:
    """Two of four buffers may be held: the thermal frame used last makes room for the two that visible needs."""
    loop = Loop(small_rig(buffers=4)).play(stream("visible", 30, 2, delay_ms=50) + stream("thermal", 30, 2))
    assert set(flags(loop)) == {REGULAR}
    assert skews_ms(loop) == [0] * len(loop.moments)


def test_clocks_are_brought_to_one_axis_and_offsets_added() -> None:
    realtime = [
        Arrival(frame.at_ms, "thermal", frame.exposed_ms + 12, clock="realtime") for frame in stream("thermal", 30, 1)
    ]
    loop = Loop(small_rig(tolerance_ms=2, offsets_ns=(0, -12 * MS))).play(stream("visible", 30, 1) + realtime)
    assert len(loop.moments) == 30
    assert skews_ms(loop) == pytest.approx([0] * 30, abs=0.001)
    assert loop.moments[0][1].thermal is not None
    assert loop.moments[0][1].thermal.timestamp_ns == REALTIME_NS + 12 * MS


@pytest.mark.parametrize("jump_ms", [5000, 300, -5000, -300])
@pytest.mark.parametrize("side", ["visible", "thermal"])
def test_a_clock_that_jumps_costs_one_frame_and_pairing_goes_on(side: str, jump_ms: int) -> None:
    arrivals = [
        Arrival(frame.at_ms, frame.side, frame.exposed_ms + jump_ms * (frame.side == side and frame.at_ms > 1000))
        for frame in stream("visible", 30, 3) + stream("thermal", 30, 3, offset_ms=2, delay_ms=5)
    ]
    loop = Loop(small_rig()).play(arrivals)
    assert {side: time.jumps for side, time in loop.sync.times.items()} == {"visible": 0, "thermal": 0, side: 1}
    assert loop.sync.queues[side].dropped["clock"] == 1  # type: ignore[index]
    assert skews_ms(loop)[-50:] == pytest.approx([-2] * 50, abs=0.5)
    assert set(flags(loop)[-50:]) == {REGULAR}


def test_one_wrong_timestamp_is_no_jump() -> None:
    cameras = stream("visible", 30, 1) + stream("thermal", 30, 1)
    cameras[40] = Arrival(cameras[40].at_ms, "thermal", 10**7)
    loop = Loop(small_rig()).play(cameras)
    assert loop.sync.times["thermal"].jumps == 0
    assert loop.drops("thermal") == {"clock": 1}


def test_a_backlog_at_the_start_is_no_jump() -> None:
    """The process was busy: frames of both cameras were read late at first, and then at once."""
    arrivals = [
        Arrival(max(frame.at_ms, 300 + frame.exposed_ms / 100), frame.side, frame.exposed_ms)
        for frame in stream("visible", 30, 2) + stream("thermal", 30, 2)
    ]
    loop = Loop(small_rig()).play(arrivals)
    assert sum(time.jumps for time in loop.sync.times.values()) == 0
    assert skews_ms(loop)[-50:] == [0] * 50


def test_the_same_timestamp_again_is_a_duplicate() -> None:
    twice = [frame for frame in stream("visible", 30, 1) for _ in range(2)]
    loop = Loop(small_rig()).play(twice + stream("thermal", 30, 1))
    assert loop.drops("visible") == {"duplicate": 30}
    assert len(loop.moments) == 30


def test_drift_marks_pairs() -> None:
    loop = Loop(small_rig())
    loop.sync.drifted = True
    loop.play(stream("visible", 30, 1) + stream("thermal", 30, 1))
    assert set(flags(loop)) == {Flag.MISREGISTERED}


def test_a_recording_that_is_over_is_published_to_its_last_frame() -> None:
    loop = Loop(small_rig()).play(stream("visible", 30, 1) + stream("thermal", 30, 1)[:-1])
    for side in loop.sync.queues:
        loop.sync.end(side)
    loop.turn()
    assert loop.sync.ended
    assert flags(loop)[-1] == Flag.STALE
    assert len(loop.moments) == 30
