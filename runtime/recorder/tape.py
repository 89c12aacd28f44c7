"""What cameras saw, on its way to the disk: a slow one loses frames, which are counted, and never holds a camera up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from edgefusion.core.errors import EdgeFusionError
from edgefusion.core.frames import Frame
from edgefusion.recordings.mcap_writer import RAW_TOPICS, McapWriter
from edgefusion.recordings.pairing import SIDES, Side
from runtime.sinks.buffers import Buffers

MOST_WAITING_BYTES = 256 * 1024 * 1024
"""What may wait: about two seconds of 1920x1080 at 30 frames per second, as long as an SD card may pause."""


class Tape:
    """Writes the frames of both cameras, on a thread of its own.

    Args:
        writer: the file, ended by ``close``; used by the new thread alone.
        most_bytes: so much may wait to be written; then new frames are dropped.

    Attributes:
        written, dropped: frames of each camera.
        error: why it stopped writing; then every frame is dropped.
    """

    def __init__(self, writer: McapWriter, *, most_bytes: int = MOST_WAITING_BYTES) -> None:
        self.written: dict[Side, int] = dict.fromkeys(SIDES, 0)
        self.dropped: dict[Side, int] = dict.fromkeys(SIDES, 0)
        self.error: Exception | None = None
        self._writer, self._most_bytes = writer, most_bytes
        self._buffers = {side: Buffers() for side in SIDES}
        self._waiting: deque[tuple[Side, Frame, int]] = deque()
        self._waiting_bytes = 0
        self._turn = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="tape", daemon=True)
        self._thread.start()

    def add(self, side: Side, frame: Frame) -> None:
        """Copy a frame that has just come, to be written soon; each camera's by its own thread."""
        now_ns, size = time.monotonic_ns(), frame.pixels.nbytes
        with self._turn:
            full = self._waiting_bytes > 0 and self._waiting_bytes + size > self._most_bytes
            if full or self.error or self._closing:
                self.dropped[side] += 1
                return
            self._waiting_bytes += size
        kept = self._buffers[side].copy(frame)
        with self._turn:
            self._waiting.append((side, kept, now_ns))
            self._turn.notify()

    @property
    def size_bytes(self) -> int:
        """Of the file so far."""
        return self._writer.size_bytes

    def close(self, describe: Callable[[], dict[str, str]]) -> None:
        """Write what waits, then what ``describe`` says of the whole, and end the file. Nobody adds any more.

        A file without a frame is removed. If the end cannot be written, ``error`` says why.
        """
        with self._turn:
            self._closing = True
            self._turn.notify()
        self._thread.join()
        try:
            if self.error is None:
                self._writer.metadata("recorded", describe())
            self._writer.close()
        except EdgeFusionError as error:
            self.error = self.error or error
        if not any(self.written.values()):
            self._writer.path.unlink(missing_ok=True)

    def _work(self) -> None:
        while waiting := self._next():
            side, frame, log_ns = waiting
            self._write(side, frame, log_ns)
            with self._turn:
                self._waiting_bytes -= frame.pixels.nbytes
            frame.release()

    def _next(self) -> tuple[Side, Frame, int] | None:
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.popleft() if self._waiting else None

    def _write(self, side: Side, frame: Frame, log_ns: int) -> None:
        if self.error is None:
            try:
                self._writer.raw(RAW_TOPICS[side], frame, log_ns=log_ns)
            except Exception as error:  # whoever waits for this thread raises it
                self.error = error
        with self._turn:
            self.written[side] += self.error is None
            self.dropped[side] += self.error is not None
