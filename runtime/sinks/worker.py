"""A sink on a thread of its own: what is slow about it never slows the loop."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from edgefusion.core.errors import UsageError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.recordings.pairing import Side
from runtime.sinks import Rgb, Sink
from runtime.sinks.buffers import Buffers


class Held(Protocol):
    """What the pixels of a fused frame are in, such as a slot of the ring; they stay while somebody holds it."""

    def retain(self) -> None:
        """Hold it, once more."""

    def free(self) -> None:
        """Hold it once less; any thread may say so."""


@dataclass(frozen=True)
class _Waiting:
    rgb: Rgb
    info: FusedInfo
    inputs: FramePair | None
    slot: Held


class SinkThread:
    """Hands fused frames to a sink, in order.

    A frame's memory is held until it is written: of at most ``depth`` frames that wait and the one that is being
    written. One thread offers and ends; any may ask for the status.

    Args:
        sink: used by the new thread alone from now on.
        name: what it is called in the status: the ``--output``.
        url: where it is to be seen, or empty.
        depth: so many frames may wait.
        wait: where that many wait, block instead of dropping the new frame: for recordings, whose every frame counts.

    Attributes:
        wants_inputs: whether ``offer`` needs the pair that a frame was made of.
        error: what the sink failed with, once; then it gets no more frames, and those that come are dropped.
        copies: camera frames copied so far: a camera wants its buffer back before a sink is done.
    """

    def __init__(self, sink: Sink, name: str, *, depth: int, wait: bool) -> None:
        if depth < 1:
            raise UsageError(f"a sink for which {depth} frames may wait", where=name)
        self.name, self.wants_inputs = name, sink.wants_inputs
        self.url: str = getattr(sink, "url", "")
        self.error: Exception | None = None
        self.copies = 0
        self._sink, self._depth, self._blocks = sink, depth, wait
        self._waiting: deque[_Waiting] = deque()
        self._buffers: dict[Side, Buffers] = {"visible": Buffers(), "thermal": Buffers()}
        self._turn = threading.Condition()
        self._end: Literal["", "close", "abandon"] = ""
        self._written = self._dropped = 0
        self._thread = threading.Thread(target=self._work, name=f"sink {name}", daemon=True)
        self._thread.start()

    def offer(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None, slot: Held) -> None:
        """Let the sink write a frame, soon.

        Args:
            rgb: [H, W, 3], in the memory of ``slot``.
            info: what is known about it.
            inputs: what it was made of; copied, and only where ``wants_inputs``.
            slot: held from now until the frame is written or given up.
        """
        with self._turn:
            if self._blocks:
                self._turn.wait_for(lambda: self._has_room() or self._closed())
            if not self._has_room() or self._closed():
                self._dropped += 1
                return
        kept = self._copied(inputs) if self.wants_inputs and inputs else None
        slot.retain()
        with self._turn:
            self._waiting.append(_Waiting(rgb, info, kept, slot))
            self._turn.notify_all()

    def status(self) -> dict[str, Any]:
        """Where frames go (``to``), ``state`` (open, failed or closed), how many were written and dropped; an error."""
        with self._turn:
            state = "failed" if self.error else "closed" if self._end else "open"
            facts = {"to": self.name, "state": state, "written": self._written, "dropped": self._dropped}
            return facts | ({"error": str(self.error)} if self.error else {})

    def close(self) -> None:
        """Write what waits and finish; if that fails, ``error`` says why."""
        self._finish("close")

    def abandon(self) -> None:
        """Give up what waits, and end."""
        self._finish("abandon")

    def _finish(self, how: Literal["close", "abandon"]) -> None:
        with self._turn:
            self._end = self._end or how
            self._turn.notify_all()
        self._thread.join()

    def _has_room(self) -> bool:
        return len(self._waiting) < self._depth

    def _closed(self) -> bool:
        return self.error is not None or self._end != ""

    def _copied(self, inputs: FramePair) -> FramePair:
        self.copies += 2
        visible, thermal = self._buffers["visible"].copy(inputs.visible), self._buffers["thermal"].copy(inputs.thermal)
        return FramePair(visible, thermal, inputs.name)

    def _work(self) -> None:
        while waiting := self._next():
            if self.error is None and self._end != "abandon":
                self._write(waiting)
            else:
                self._count(written=False)
            waiting.slot.free()
            if waiting.inputs:
                waiting.inputs.visible.release()
                waiting.inputs.thermal.release()
        if self.error is None:
            self._call(self._sink.close if self._end == "close" else self._sink.abandon)

    def _next(self) -> _Waiting | None:
        """The oldest frame that waits; None when there will be no more."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._end)
            if not self._waiting:
                return None
            self._turn.notify_all()
            return self._waiting.popleft()

    def _write(self, waiting: _Waiting) -> None:
        written = self._call(self._sink.write, waiting.rgb, waiting.info, waiting.inputs)
        self._count(written=written)

    def _count(self, *, written: bool) -> None:
        with self._turn:
            self._written += written
            self._dropped += not written

    def _call(self, method: Any, *arguments: Any) -> bool:
        """Whether it went well; the first error is kept, and the sink given up."""
        try:
            method(*arguments)
        except Exception as error:
            with self._turn:
                self.error = error
                self._turn.notify_all()
            with suppress(Exception):  # the first error says what is wrong
                self._sink.abandon()
            return False
        return True
