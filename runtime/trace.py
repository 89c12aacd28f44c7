"""``edgefusion run --trace trace.json``: what the loop did, frame by frame, for ui.perfetto.dev or chrome://tracing.

The JSON array form of the Trace Event Format, one event a line. That form needs no ``]`` at its end, so the file of a
killed run opens too. Times are CLOCK_MONOTONIC in microseconds, as in other traces of the same machine.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from edgefusion.core.errors import MachineError
from edgefusion.core.files import append
from edgefusion.recordings.pairing import SIDES, Side
from runtime import log
from runtime.gauges import Gauges, Read
from runtime.pipeline.turn import Turn
from runtime.trace_events import Track, counters, left_out, named

PERIOD_S = 0.2
"""Events wait so long until they are written: what a kill loses."""

PERIODS_PER_READ = 5
WAITING = 50_000
"""So many events wait for a slow disk; then some are left out, and the trace says how many."""

LARGEST = 1_000_000_000
"""Bytes: viewers open no more. A frame of two cameras takes about 1.7 kB."""

END = b"\n]\n"

Lines = Callable[[], Iterable[str]]


class TracedRig:
    """What one rig leaves in a trace; each method returns at once, in any thread."""

    def __init__(self, track: Track, put: Callable[[Lines], None]) -> None:
        self._track, self._put = track, put

    def arrived(self, side: Side, sequence: int, at_ns: int) -> None:
        """See ``runtime.sync.exchange.Arrived``."""
        self._put(lambda: self._track.arrival(side, sequence, at_ns))

    def timed(self, turn: Turn) -> None:
        """See ``runtime.pipeline.turn.Timed``."""
        self._put(lambda: self._track.frame(turn))


class Trace:
    """Writes a trace while inside, in a thread of its own, with constant memory.

    A disk that fails ends the trace, not the run.

    Args:
        path: of the file; one that is there is replaced.
        gauges: asked once a second for the curves.
        largest: bytes; a trace that reaches it ends there.

    Raises:
        MachineError: on entering: the file cannot be made.
    """

    def __init__(self, path: Path, *, gauges: Read = Gauges, largest: int = LARGEST) -> None:
        self._path, self._gauges, self._largest, self._size = path, gauges, largest, 0
        self._waiting: deque[Lines] = deque()
        self._left_out, self._tracks = 0, 0
        self._stream: IO[bytes] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="trace", daemon=True)

    def __enter__(self) -> Trace:
        try:
            self._stream = self._path.open("wb", buffering=0)
        except OSError as error:
            why = error.strerror or str(error)
            raise MachineError(f"cannot write ({why})", where=self._path, remedy="choose a writable folder") from error
        self._write("[\n" + named("process_name", 0, "edgefusion"))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._write(END.decode())
        self._close()

    def rig(self, name: str, *, since: str) -> TracedRig:
        """Tracks for one rig.

        Args:
            name: its name.
            since: what ``Turn.exposure_ns`` is: exposure or receive.
        """
        track = Track(name, self._tracks + 1, since=since)
        self._tracks += 1 + len(SIDES)
        self._put(track.names)
        return TracedRig(track, self._put)

    def _put(self, lines: Lines) -> None:
        if len(self._waiting) < WAITING:
            self._waiting.append(lines)
        else:
            self._left_out += 1

    def _work(self) -> None:
        over, periods = False, 0
        while not over:
            over = self._over.wait(PERIOD_S)
            lines = [line for made in self._taken() for line in made()]
            if periods % PERIODS_PER_READ == 0:
                lines += counters(self._gauges(), time.monotonic_ns())
            periods += 1
            if self._left_out:
                lines.append(left_out(self._left_out, time.monotonic_ns()))
                self._left_out = 0
            self._write("".join(f",\n{line}" for line in lines))

    def _taken(self) -> Iterator[Lines]:
        while self._waiting:
            yield self._waiting.popleft()

    def _write(self, text: str) -> None:
        """Whole events in one piece, so that the file can be read whenever the run is killed."""
        if self._stream is None or not text:
            return
        content = text.encode()
        full = self._size + len(content) + len(END) > self._largest
        try:
            self._size = append(self._stream.fileno(), END if full else content, end=self._size)
        except OSError as error:
            self._end("failed", error.strerror or str(error))
            return
        if full:
            self._end("full", "viewers open no larger trace")

    def _end(self, state: str, why: str) -> None:
        log.event("trace", path=str(self._path), state=state, why=why)
        self._close()

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream:
            stream.close()
