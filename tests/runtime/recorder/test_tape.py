"""The tape of a recording on a disk that is slower than the cameras."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.recordings.mcap import McapRecording
from edgefusion.recordings.mcap_writer import McapWriter
from runtime.recorder.tape import Tape


class StuckWriter(McapWriter):
    """The disk does nothing until the test lets it."""

    gate = threading.Event()

    def raw(self, topic: str, frame: Frame, *, log_ns: int | None = None) -> None:
        assert self.gate.wait(60)
        super().raw(topic, frame, log_ns=log_ns)


def test_a_slow_disk_drops_new_frames_and_counts_them_by_camera(tmp_path: Path) -> None:
    tape = Tape(StuckWriter(tmp_path / "r.mcap"), most_bytes=5000)
    pixels = np.zeros((20, 50), np.uint8)  # five of them may wait
    for number in range(9):
        pixels[:] = number
        tape.add("visible", Frame(pixels, PixelFormat.GREY, 10**9 + number * 10**6, "monotonic", number))
    for number in range(4):
        thermal = np.full((1, 2), number, np.uint16)  # smaller, but there is no room for it either
        tape.add("thermal", Frame(thermal, PixelFormat.Y16, 10**9 + number * 10**6, "monotonic", number))
    assert tape.dropped == {"visible": 4, "thermal": 4}
    StuckWriter.gate.set()
    tape.add("visible", Frame(pixels, PixelFormat.GREY, 2 * 10**9, "monotonic", 9))
    tape.close(dict)
    assert tape.error is None
    assert tape.written["visible"] in (5, 6)
    assert tape.written["visible"] + tape.dropped["visible"] == 10


def test_a_frame_larger_than_all_that_may_wait_is_written_all_the_same(tmp_path: Path) -> None:
    tape = Tape(McapWriter(tmp_path / "r.mcap"), most_bytes=10)
    for side, kind in (("visible", PixelFormat.GREY), ("thermal", PixelFormat.Y16)):
        while not tape.written[side]:  # type: ignore[index]
            pixels = np.full((20, 50), 7, kind.dtype)
            tape.add(side, Frame(pixels, kind, 10**9, "monotonic", 0))  # type: ignore[arg-type]
    tape.close(dict)
    assert len(list(McapRecording(tmp_path / "r.mcap"))) >= 1
