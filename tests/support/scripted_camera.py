"""A camera whose frames, faults and buffers are written down by a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from small_rigs import FORMATS, SIZE

from edgefusion.core.frames import Form, Frame
from edgefusion.core.geometry import Size
from edgefusion.recordings.pairing import Side

Act = Callable[[], object]


class ScriptedCamera:
    """Frames of one shade each, at a steady rate, in buffers that know who has them.

    Args:
        side: which camera.
        fps: frames per second.
        buffers: as many as a driver would have; a frame without a free one is lost.
        script: number of the frame (over all openings) -> what happens in place of it; may raise.
        openings: what each opening raises, if anything; the ones after that succeed.
        sizes: size of the frames after each opening; the last one stays.
        picture: the shade of all frames; None: another one each time.
        silent_after: number of the frame after which none comes until it is opened again.
    """

    def __init__(
        self,
        side: Side,
        *,
        fps: float = 100,
        buffers: int = 4,
        script: Mapping[int, Act] | None = None,
        openings: Sequence[Exception | None] = (),
        sizes: list[Size] | None = None,
        picture: int | None = None,
        silent_after: int | None = None,
    ) -> None:
        self._side, self._period_ns, self._picture = side, int(1e9 / fps), picture
        self._script, self._openings, self._sizes = script or {}, openings, sizes or [SIZE]
        self._buffers, self._silent_after = buffers, silent_after
        self._lock = threading.Lock()
        self.facts: dict[str, Any] = {"kind": "scripted"}
        self.out = self.most_out = self.delivered = self.released = self.starved = 0
        self.released_twice = 0
        self.opened = self.closed = self.number = 0
        self.is_open = False

    def open(self) -> Form:
        assert not self.is_open
        self.opened += 1
        error = self._openings[self.opened - 1] if self.opened <= len(self._openings) else None
        if error is not None:
            raise error
        self.is_open = True
        self._size = self._sizes.pop(0) if len(self._sizes) > 1 else self._sizes[0]
        self._next_ns = time.monotonic_ns()
        return FORMATS[self._side], self._size

    def read(self, timeout_s: float) -> Frame | None:
        assert self.is_open
        wait_ns = self._next_ns - time.monotonic_ns()
        if (self.number == self._silent_after and self.opened == 1) or wait_ns > timeout_s * 1e9:
            time.sleep(timeout_s)
            return None
        time.sleep(max(wait_ns, 0) / 1e9)
        exposure_ns = self._next_ns
        self._next_ns = max(self._next_ns + self._period_ns, time.monotonic_ns() - 3 * self._period_ns)
        self.number += 1
        if act := self._script.get(self.number):
            act()
            return None
        return self._frame(exposure_ns)

    def close(self) -> None:
        self.closed += 1
        self.is_open = False

    def _frame(self, exposure_ns: int) -> Frame | None:
        with self._lock:
            if self.out == self._buffers:
                self.starved += 1
                return None
            self.out += 1
            self.delivered += 1
            self.most_out = max(self.most_out, self.out)
        shade = self.number % 251 if self._picture is None else self._picture
        form = FORMATS[self._side]
        pixels = np.full(form.array_shape(*self._size), shade, form.dtype)
        return Frame(pixels, form, exposure_ns, "monotonic", self.number, self._releaser())

    def _releaser(self) -> Callable[[], None]:
        given_back: list[bool] = []

        def release() -> None:
            with self._lock:
                self.released_twice += len(given_back)
                given_back.append(True)
                self.out -= 1
                self.released += 1

        return release
