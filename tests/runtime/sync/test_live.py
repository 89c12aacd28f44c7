"""A live rig: cameras in threads that disconnect, hang, change and end, on the real clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from scripted_camera import ScriptedCamera
from small_rigs import SIZE, small_frame, small_rig
from waiting import until

from edgefusion.core.errors import EdgeFusionError, InputError, MachineError, RigError
from edgefusion.core.frames import REGULAR, Flag, Form
from edgefusion.core.rig import Rig
from edgefusion.recordings.pairing import SIDES, Side
from runtime.capture.base import CameraLostError, StreamEndError
from runtime.sync import live as live_module
from runtime.sync.cameras import JOIN_S, State
from runtime.sync.exchange import Exchange
from runtime.sync.live import LiveRig
from runtime.sync.moments import Moment

PATIENCE_S = 20
"""A loaded machine may need so long for what takes well under a second."""


def raises(error: EdgeFusionError) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


class Changes:
    """Remembers what a rig tells about its cameras."""

    def __init__(self) -> None:
        self.seen: list[tuple[Side, State, str]] = []

    def __call__(self, side: Side, state: State, why: str) -> None:
        self.seen.append((side, state, why))

    def of(self, side: Side) -> list[State]:
        return [state for which, state, _ in self.seen if which == side]


def live(
    visible: ScriptedCamera, thermal: ScriptedCamera, *, rig: Rig | None = None, changed: Changes | None = None
) -> LiveRig:
    rig = rig or small_rig(reconnect_s=0.2, lost_after_s=5, hold_s=0.1)
    return LiveRig(
        rig, {"visible": visible, "thermal": thermal}, wake=threading.Condition(), changed=changed or Changes()
    )


def moments(rig: LiveRig, until: Callable[[Moment], bool] = lambda moment: False) -> Iterator[Moment]:
    """Moments, given back after each turn, up to the first one for which ``until`` holds, or the end."""
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s and not rig.ended:
        if moment := rig.next(0.5):
            yield moment
            moment.release()
            if until(moment):
                return
    assert rig.ended, "what was waited for did not happen"


def ending(after: int) -> dict[int, Callable[[], object]]:
    return {after + 1: raises(StreamEndError("over"))}


def forms(rig: LiveRig) -> list[tuple[str | None, list[int] | None]]:
    """Format and size of visible and of thermal frames; None while a camera is not open."""
    cameras = rig.status()["cameras"]
    return [(cameras[side]["format"], cameras[side]["size_px"]) for side in SIDES]


def check_given_back(*cameras: ScriptedCamera) -> None:
    for camera in cameras:
        assert camera.released == camera.delivered
        assert camera.released_twice == camera.out == 0
        assert not camera.is_open


def test_every_frame_of_two_recordings_is_used_or_accounted_for() -> None:
    cameras = ScriptedCamera("visible", script=ending(40)), ScriptedCamera("thermal", script=ending(40))
    changes = Changes()
    with live(*cameras, changed=changes) as rig:
        taken = list(moments(rig))
        status = rig.status()
    exposures = [moment.exposure_ns for moment in taken]
    assert exposures == sorted(set(exposures))
    visible = status["cameras"]["visible"]
    assert visible["frames"] == 40 == visible["used"] + sum(visible["drops"].values())
    assert visible["used"] == len(taken)
    assert changes.of("visible") == ["live", "ended"]
    assert max(camera.most_out for camera in cameras) <= 3  # one may be on its way, two of four are held
    check_given_back(*cameras)


def test_a_moment_keeps_its_frames_until_it_is_given_back() -> None:
    cameras = ScriptedCamera("visible"), ScriptedCamera("thermal")
    with live(*cameras) as rig:
        first = next(moments(rig))
        assert first.pair is not None
        shade = first.pair.visible.pixels[0, 0]
        time.sleep(0.1)  # ten frames pass
        assert rig.status()["cameras"]["visible"]["held"] <= 2
        assert (first.pair.visible.pixels == shade).all()
    assert [camera.out for camera in cameras] == [1, 1]
    first.release()
    first.release()
    check_given_back(*cameras)


@pytest.mark.parametrize("lost", ["visible", "thermal"])
def test_a_camera_that_disconnects_comes_back(lost: Side) -> None:
    script = {20: raises(CameraLostError("unplugged"))}
    refusals: list[Exception | None] = [None, CameraLostError("not there"), MachineError("busy")]
    cameras = {side: ScriptedCamera(side) for side in SIDES}
    cameras[lost] = ScriptedCamera(lost, script=script, openings=refusals)
    changes = Changes()
    with live(cameras["visible"], cameras["thermal"], changed=changes) as rig:
        came_back = iter(moments(rig, lambda moment: moment.flags == REGULAR and cameras[lost].number > 40))
        flags = {moment.flags for moment in came_back}
        status = rig.status()["cameras"]
    assert Flag.THERMAL_LOST in flags or lost == "visible"
    assert changes.of(lost)[:3] == ["live", "reconnecting", "reconnecting"]
    assert changes.of(lost)[-1] == "live"
    assert [why for side, _, why in changes.seen if side == lost and why] == ["unplugged", "not there", "busy"]
    assert status[lost]["reconnects"] == 1
    assert {state for side, state, _ in changes.seen if side != lost} == {"live"}
    check_given_back(*cameras.values())


@pytest.mark.parametrize("stuck", ["visible", "thermal"])
def test_a_stuck_camera_blocks_nobody(stuck: Side) -> None:
    hang = threading.Event()
    cameras = {side: ScriptedCamera(side) for side in SIDES}
    cameras[stuck] = ScriptedCamera(stuck, script={20: hang.wait})
    changes = Changes()
    policy = small_rig(lost_after_s=0.3, hold_s=0.1, visible_lost="thermal")
    rig = live(cameras["visible"], cameras["thermal"], rig=policy, changed=changes)
    alone = Flag.VISIBLE_LOST if stuck == "visible" else Flag.THERMAL_LOST
    with rig:
        many = 0

        def enough(moment: Moment) -> bool:
            nonlocal many
            many += bool(moment.flags & alone)
            return many >= 20 and changes.of(stuck)[-1] == "lost"

        assert list(moments(rig, enough))
        began_s = time.monotonic()
    closing_s = time.monotonic() - began_s
    assert closing_s < JOIN_S + PATIENCE_S / 2
    assert not hang.is_set()
    hang.set()
    for thread in threading.enumerate():
        if thread.name == f"{stuck} camera":
            thread.join(PATIENCE_S)
    check_given_back(*cameras.values())


def test_a_camera_that_is_stuck_while_opening_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.sync.live.OPEN_S", 0.2)
    hang = threading.Event()
    thermal = ScriptedCamera("thermal")
    opens = thermal.open
    monkeypatch.setattr(thermal, "open", lambda: (hang.wait(), opens())[1])
    visible = ScriptedCamera("visible")
    with live(visible, thermal, rig=small_rig(lost_after_s=0.3)) as rig:
        assert forms(rig)[1] == (None, None)
        assert next(moments(rig)).flags == Flag.THERMAL_LOST
        hang.set()
        list(moments(rig, lambda moment: moment.flags == REGULAR))
        assert forms(rig) == [("GREY", list(SIZE)), ("Y16", list(SIZE))]


@pytest.mark.parametrize("error", [MachineError("busy"), RigError("no such format")])
def test_what_is_wrong_at_the_start_is_raised_and_both_cameras_are_closed(error: EdgeFusionError) -> None:
    visible, thermal = ScriptedCamera("visible"), ScriptedCamera("thermal", openings=[error])
    with pytest.raises(type(error), match=str(error)), live(visible, thermal):
        pytest.fail("it was entered")
    check_given_back(visible, thermal)
    assert visible.closed == 1


def test_a_camera_that_is_not_there_at_the_start_is_waited_for() -> None:
    visible = ScriptedCamera("visible", openings=[CameraLostError("not there"), CameraLostError("not there")])
    with live(visible, ScriptedCamera("thermal")) as rig:
        assert rig.status()["cameras"]["visible"]["state"] == "reconnecting"
        assert next(moments(rig)).visible is not None


def test_a_camera_that_changes_its_size_is_opened_again_and_frames_come_in_the_new_size() -> None:
    damaged = {number: raises(InputError("another size came")) for number in range(20, 23)}
    visible = ScriptedCamera("visible", script=damaged, sizes=[SIZE, (32, 24)])
    with live(visible, ScriptedCamera("thermal")) as rig:
        list(moments(rig, lambda moment: moment.visible is not None and moment.visible.size_px == (32, 24)))
        status = rig.status()["cameras"]["visible"]
        assert forms(rig) == [("GREY", [32, 24]), ("Y16", list(SIZE))]
    assert status["drops"]["damaged"] == 3
    assert status["reconnects"] == 1


def test_one_damaged_frame_is_counted_and_no_more() -> None:
    visible = ScriptedCamera("visible", script={20: raises(InputError("cut off"))})
    with live(visible, ScriptedCamera("thermal")) as rig:
        list(moments(rig, lambda moment: visible.number > 30))
        status = rig.status()["cameras"]["visible"]
    assert status["drops"]["damaged"] == 1
    assert visible.opened == 1


def test_a_silent_camera_is_lost_and_then_opened_again() -> None:
    thermal = ScriptedCamera("thermal", silent_after=20)
    changes = Changes()
    rig_file = small_rig(lost_after_s=0.2, reconnect_s=0.1)
    with live(ScriptedCamera("visible"), thermal, rig=rig_file, changed=changes) as rig:
        list(moments(rig, lambda moment: thermal.opened == 2 and moment.flags == REGULAR))
    states = changes.of("thermal")
    assert states.index("lost") < states.index("reconnecting")
    assert states[-1] == "live"


def test_a_closed_shutter_is_told() -> None:
    thermal = ScriptedCamera("thermal", picture=9)
    changes = Changes()
    with live(ScriptedCamera("visible"), thermal, changed=changes) as rig:
        list(moments(rig, lambda moment: moment.flags == Flag.THERMAL_LOST and "thermal frozen" in rig.drops))
        assert rig.status()["cameras"]["thermal"]["state"] == "frozen"
    assert changes.of("thermal")[:2] == ["live", "frozen"]


def test_a_fault_in_a_camera_class_reaches_whoever_asks_for_moments() -> None:
    def fault() -> None:
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        live(ScriptedCamera("visible", script={5: fault}), ScriptedCamera("thermal")) as rig,
    ):
        list(moments(rig))


def test_a_stop_is_heeded_while_a_camera_is_being_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "OPEN_S", 2 * PATIENCE_S)
    opening, opened, stop = threading.Event(), threading.Event(), threading.Event()

    class Slow(ScriptedCamera):
        def open(self) -> Form:
            opening.set()
            opened.wait(PATIENCE_S)
            return super().open()

    cameras: dict[Side, ScriptedCamera] = {"visible": Slow("visible"), "thermal": ScriptedCamera("thermal")}
    rig = LiveRig(small_rig(), dict(cameras), wake=threading.Condition(), stop=stop)
    threading.Thread(target=lambda: (opening.wait(), stop.set())).start()
    with rig:
        assert (cameras["visible"].opened, rig.state) == (0, "starting")
    opened.set()
    until(lambda: cameras["visible"].closed)


def test_next_returns_at_once_unless_asked_to_wait_and_says_how_long_nothing_will_come() -> None:
    visible = ScriptedCamera("visible", script={number: lambda: None for number in range(2, 10**4)})
    with live(visible, ScriptedCamera("thermal"), rig=small_rig(lost_after_s=60)) as rig:
        assert next(moments(rig)).visible is not None
        assert rig.next() is None
        wait_s = rig.wait_s()
        assert wait_s is not None
        assert 10 < wait_s <= 60


def test_a_frame_that_came_just_before_the_loop_waits_is_not_missed() -> None:
    exchange = Exchange(small_rig(lost_after_s=60), wake=threading.Condition(), changed=Changes())
    assert exchange.next() is None
    now_ns = time.monotonic_ns()
    exchange.take("thermal", small_frame("thermal", now_ns))
    began_s = time.monotonic()
    exchange.wait(4 * PATIENCE_S)
    assert time.monotonic() - began_s < PATIENCE_S
    exchange.close()


def test_several_rigs_wake_one_loop() -> None:
    wake = threading.Condition()
    rigs = [
        LiveRig(small_rig(), {"visible": ScriptedCamera("visible"), "thermal": ScriptedCamera("thermal")}, wake=wake)
        for _ in range(2)
    ]
    taken = [0, 0]
    until_s = time.monotonic() + PATIENCE_S
    with rigs[0], rigs[1]:
        while min(taken) < 10 and time.monotonic() < until_s:
            with wake:
                found = [rig.next() for rig in rigs]
                if not any(found):
                    wake.wait(0.5)
            for number, moment in enumerate(found):
                if moment:
                    taken[number] += 1
                    moment.release()
    assert min(taken) >= 10
