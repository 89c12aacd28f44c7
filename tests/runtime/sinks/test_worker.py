"""A sink behind its thread: what waits, what is dropped, what is held, and what happens when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.frames import Frame, FramePair, FusedInfo, PixelFormat
from runtime.sinks import Rgb
from runtime.sinks.worker import SinkThread

TIMEOUT_S = 60


class Slot:
    """Memory of one frame, which counts who holds it; the writer uses it again as soon as nobody does."""

    def __init__(self, value: int) -> None:
        self.pixels = np.full((4, 6, 3), value, np.uint8)
        self._lock, self.held, self.retained = threading.Lock(), 0, 0

    def retain(self) -> None:
        with self._lock:
            self.held += 1
            self.retained += 1

    def free(self) -> None:
        with self._lock:
            assert self.held > 0
            self.held -= 1
            if not self.held:
                self.pixels[:] = 255


class GatedSink:
    """Takes a frame when the test lets it; remembers pixels as they were at that time."""

    def __init__(self, *, wants_inputs: bool = False, fails_at: int = -1) -> None:
        self.wants_inputs, self._fails_at = wants_inputs, fails_at
        self.begun, self.gate = threading.Semaphore(0), threading.Semaphore(0)
        self.seen: list[tuple[int, int, int, int]] = []
        self.buffers: set[int] = set()
        self.ends: list[str] = []

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        self.begun.release()
        assert self.gate.acquire(timeout=TIMEOUT_S)
        if info.frame_id == self._fails_at:
            raise MachineError("disk full")
        visible, thermal = (int(frame.pixels.flat[0]) for frame in _frames(inputs)) if inputs else (-1, -1)
        self.buffers |= {frame.pixels.ctypes.data for frame in _frames(inputs)} if inputs else set()
        self.seen.append((info.frame_id, int(rgb.min()), visible, thermal))

    def close(self) -> None:
        self.ends.append("close")

    def abandon(self) -> None:
        self.ends.append("abandon")

    def let(self, count: int) -> None:
        for _ in range(count):
            self.gate.release()

    def wait_begun(self) -> None:
        assert self.begun.acquire(timeout=TIMEOUT_S)


def _frames(pair: FramePair) -> tuple[Frame, Frame]:
    return pair.visible, pair.thermal


def info(number: int) -> FusedInfo:
    return FusedInfo(number, number * 1000, "monotonic", number, number)


def pair(value: int, size: tuple[int, int] = (6, 4)) -> FramePair:
    visible = Frame(np.full((size[1], size[0], 3), value, np.uint8), PixelFormat.RGB24, value, "monotonic", value)
    thermal = Frame(np.full(size[::-1], 1000 + value, np.uint16), PixelFormat.Y16, value, "monotonic", value)
    return FramePair(visible, thermal)


def offer(thread: SinkThread, number: int, inputs: FramePair | None = None) -> Slot:
    """Offer a frame as the loop does: it holds the slot while it offers, then lets go."""
    slot = Slot(number)
    slot.retain()
    thread.offer(slot.pixels, info(number), inputs, slot)
    slot.free()
    return slot


def test_a_stuck_sink_costs_the_loop_nothing_but_its_own_new_frames() -> None:
    sink = GatedSink()
    thread = SinkThread(sink, "slow.mp4", depth=3, wait=False)
    slots = [offer(thread, 0)]
    sink.wait_begun()  # it is in the middle of the first frame and stays there
    slots += [offer(thread, number) for number in range(1, 50)]
    assert [slot.held for slot in slots] == [1, 1, 1, 1] + [0] * 46
    assert thread.status() == {"to": "slow.mp4", "state": "open", "written": 0, "dropped": 46}
    sink.let(4)
    thread.close()
    assert [frame[:2] for frame in sink.seen] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert {slot.held for slot in slots} == {0}
    assert thread.status() == {"to": "slow.mp4", "state": "closed", "written": 4, "dropped": 46}
    assert sink.ends == ["close"]


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_waiting_loses_no_frame_and_blocks_the_one_who_offers() -> None:
    sink = GatedSink()
    thread = SinkThread(sink, "r.mcap", depth=2, wait=True)
    offered: list[int] = []

    def loop() -> None:
        for number in range(20):
            offer(thread, number)
            offered.append(number)

    looping = in_thread(loop)
    sink.wait_begun()
    looping.join(timeout=0.2)
    assert looping.is_alive()
    assert len(offered) <= 3  # one that is being written, two that wait
    sink.let(20)
    looping.join(timeout=TIMEOUT_S)
    thread.close()
    assert [frame[:2] for frame in sink.seen] == [(number, number) for number in range(20)]
    assert thread.status()["dropped"] == 0


@pytest.mark.parametrize("wait", [False, True])
def test_an_error_is_kept_once_and_every_slot_let_go(wait: bool) -> None:
    sink = GatedSink(fails_at=1)
    sink.let(100)
    thread = SinkThread(sink, "r.mcap", depth=2, wait=wait)
    slots = [offer(thread, 0)]
    sink.wait_begun()
    slots += [offer(thread, 1)]
    sink.wait_begun()
    slots += [offer(thread, number) for number in range(2, 30)]
    thread.close()
    assert isinstance(thread.error, MachineError)
    assert sink.ends == ["abandon"]
    assert [frame[0] for frame in sink.seen] == [0]
    assert {slot.held for slot in slots} == {0}
    status = thread.status()
    assert (status["state"], status["error"], status["written"], status["dropped"]) == ("failed", "disk full", 1, 29)


def test_who_waits_for_room_is_woken_by_a_failure() -> None:
    sink = GatedSink(fails_at=0)
    thread = SinkThread(sink, "r.mcap", depth=1, wait=True)
    slots: list[Slot] = []
    looping = in_thread(lambda: slots.extend(offer(thread, number) for number in range(9)))
    sink.wait_begun()
    looping.join(timeout=0.1)
    assert looping.is_alive()
    sink.let(1)
    looping.join(timeout=TIMEOUT_S)
    assert not looping.is_alive()
    thread.abandon()
    assert [slot.held for slot in slots] == [0] * 9
    assert thread.status()["dropped"] == 9


def test_an_error_at_the_end_is_an_error_too() -> None:
    class Unfinished(GatedSink):
        def close(self) -> None:
            raise MachineError("disk full at the end")

    sink = Unfinished()
    thread = SinkThread(sink, "fused.mp4", depth=2, wait=False)
    thread.close()
    assert "at the end" in str(thread.error)
    assert sink.ends == ["abandon"]


def test_abandon_gives_up_what_waits() -> None:
    sink = GatedSink()
    thread = SinkThread(sink, "fused.mp4", depth=5, wait=False)
    slots = [offer(thread, number) for number in range(4)]
    sink.wait_begun()
    ending = in_thread(thread.abandon)
    while thread.status()["state"] != "closed":
        time.sleep(0.001)
    sink.let(4)
    ending.join(timeout=TIMEOUT_S)
    assert [frame[0] for frame in sink.seen] == [0]
    assert sink.ends == ["abandon"]
    assert {slot.held for slot in slots} == {0}
    assert (thread.status()["written"], thread.status()["dropped"]) == (1, 3)
    assert offer(thread, 9).retained == 1  # by the loop alone: it is over


def test_inputs_are_copied_into_memory_that_is_used_again() -> None:
    sink = GatedSink(wants_inputs=True)
    sink.let(100)
    thread = SinkThread(sink, "r.mcap", depth=2, wait=True)
    for number in range(30):
        inputs = pair(number)
        offer(thread, number, inputs)
        inputs.visible.pixels[:] = 99  # the camera has its buffers back, and fills them
        inputs.thermal.pixels[:] = 99
    thread.close()
    assert sink.seen == [(number, number, number, 1000 + number) for number in range(30)]
    assert thread.copies == 60
    assert len(sink.buffers) <= 2 * 4  # two that wait, one that is written, one that is being copied


def test_inputs_of_another_size_get_memory_of_their_own() -> None:
    sink = GatedSink(wants_inputs=True)
    sink.let(100)
    thread = SinkThread(sink, "r.mcap", depth=2, wait=True)
    for number, size in enumerate([(6, 4), (6, 4), (8, 2), (6, 4)]):
        offer(thread, number, pair(number, size))
    offer(thread, 4)  # a camera is lost
    thread.close()
    assert sink.seen == [(number, number, number, 1000 + number) for number in range(4)] + [(4, 4, -1, -1)]


def test_inputs_that_are_not_wanted_are_not_copied() -> None:
    sink = GatedSink()
    sink.let(5)
    thread = SinkThread(sink, "fused.mp4", depth=2, wait=True)
    offer(thread, 0, pair(0))
    thread.close()
    assert thread.copies == 0
    assert sink.seen == [(0, 0, -1, -1)]


def test_at_least_one_frame_may_wait() -> None:
    with pytest.raises(UsageError, match="0 frames may wait"):
        SinkThread(GatedSink(), "x", depth=0, wait=False)
