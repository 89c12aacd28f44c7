"""A camera with faults, to test what one's own program does when a camera misbehaves.

    camera = FaultyCamera(
        open_camera("thermal", settings),
        Fault("ffc", at_s=10),  # the shutter closes once
        Fault("drop", rate=0.01),  # one frame in a hundred is lost
        Fault("disconnect", at_frame=900, seconds=3),  # unplugged, and back 3 s later
    )

docs/faults.md says what each kind does.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, NoReturn, get_args

import numpy as np

from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.frames import Form, Frame, PixelFormat, Pixels
from runtime.capture.base import Camera, CameraLostError

FaultKind = Literal[
    "drop", "delay", "freeze", "ffc", "stall", "damage", "short", "corrupt", "format", "disconnect", "clock_jump"
]

Duration = tuple[int | None, float | None]
"""Frames or seconds; neither: for good."""

_USUAL: dict[str, Duration] = {
    "ffc": (None, 0.5),
    "stall": (None, 1.0),
    "disconnect": (None, 1.0),
    "format": (None, None),
    "clock_jump": (None, None),
}
"""How long a fault lasts if it does not say; any other: one frame."""

_BY = {"delay", "clock_jump"}
_DAMAGED_SHARE = 8
"""One byte in so many of a damaged picture is random, all in one piece."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, once or at random.

    Args:
        kind: what; docs/faults.md.
        at_frame: from this frame on, of all that came from the camera, from 0.
        at_s: or from this time after the first frame on, by the frames' timestamps.
        rate: or with this probability (0..1) at each frame where it is not going on.
        frames: how many frames it lasts.
        seconds: or how long, by the frames' timestamps; of a stall or disconnect, where there are none, by the clock.
        by_s: how late (delay), or how far the clock jumps, which may be backwards.

    Raises:
        UsageError: when or how long is missing, given twice or makes no sense.
    """

    kind: FaultKind
    at_frame: int | None = None
    at_s: float | None = None
    rate: float | None = None
    frames: int | None = None
    seconds: float | None = None
    by_s: float = 0.0

    def __post_init__(self) -> None:
        kinds, by = ", ".join(get_args(FaultKind)), " and ".join(sorted(_BY))
        for wrong, what, remedy in (
            (self.kind not in get_args(FaultKind), "there is no such kind", f"one of {kinds}"),
            (len(self._given("at_frame", "at_s", "rate")) != 1, "when is it?", "give one of at_frame, at_s and rate"),
            (len(self._given("frames", "seconds")) > 1, "how long is it?", "give frames or seconds, or neither"),
            (any(not value >= 0 for value in self._given("at_frame", "at_s")), "before the start", "give 0 or more"),
            (any(not value > 0 for value in self._given("frames", "seconds")), "for no time", "give more than 0"),
            (self.rate is not None and not 0 <= self.rate <= 1, f"rate={self.rate}", "give a probability, 0 to 1"),
            ((self.by_s != 0) != (self.kind in _BY), f"by_s={self.by_s}", f"other than 0 for {by}, left out else"),
            (self.kind == "delay" and self.by_s < 0, f"by_s={self.by_s}", "give more than 0"),
            (self.kind == "disconnect" and self.frames is not None, "it has no frames", "give seconds"),
        ):  # fmt: skip
            if wrong:
                raise UsageError(what, where=f"Fault({self.kind!r})", remedy=remedy)

    def _given(self, *names: str) -> list[float]:
        return [value for name in names if (value := getattr(self, name)) is not None]

    @property
    def lasting(self) -> Duration:
        """How long it lasts."""
        if self.frames is None and self.seconds is None:
            return _USUAL.get(self.kind, (1, None))
        return self.frames, self.seconds


class FaultyCamera:
    """Any camera, with faults. Use it in place of the camera.

    Args:
        camera: a live camera.
        faults: what goes wrong; several at a time do.
        seed: of what is random: the same seed and frames, the same faults.

    Attributes:
        frames_in: frames that came from the camera.
        frames_out: those that were given on; the rest was swallowed and released.
        swallowed: how many, by kind.
        facts: the camera's.
    """

    def __init__(self, camera: Camera, *faults: Fault, seed: int = 0) -> None:
        self.camera = camera
        self.facts: dict[str, Any] = {}
        self.frames_in = self.frames_out = 0
        self.swallowed: Counter[str] = Counter()
        self._courses = [_Course(fault, Random(f"{seed} {number}")) for number, fault in enumerate(faults)]
        self._random = Random(seed)
        self._met, self._first_ns = 0, 0
        self._promised: Form | None = None
        self._keeps = any(fault.kind in ("freeze", "ffc") for fault in faults)
        self._last: Frame | None = None
        self._late: tuple[Frame, float] | None = None
        self._silent_until_s = self._gone_until_s = 0.0
        self._gone = False

    def open(self) -> Form:
        """See ``Camera.open``; fails as long as the camera is disconnected."""
        if time.monotonic() < self._gone_until_s:
            self._lost()
        form = self.camera.open()
        self._gone, self._last, self.facts = False, None, self.camera.facts
        changed = any(each.fault.kind == "format" and each.goes_on(self._met) for each in self._courses)
        self._promised = _smaller(form) if changed else form
        return self._promised

    def read(self, timeout_s: float) -> Frame | None:
        """See ``Camera.read``."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            if self._gone:
                self._lost()
            if not _wait(self._silent_until_s, deadline_s):
                return None
            if self._late:
                return self._delayed(*self._late, deadline_s)
            frame = self.camera.read(max(deadline_s - time.monotonic(), 0.0))
            if frame is None:
                return None
            if given := self._with_faults(frame):
                return self._give(given)
            if time.monotonic() >= deadline_s:
                return None

    def close(self) -> None:
        """See ``Camera.close``."""
        if self._late:
            self._swallow(self._late[0], "delay")
            self._late = None
        self.camera.close()

    def _with_faults(self, frame: Frame) -> Frame | None:
        """What becomes of a frame: None if it is swallowed or comes later."""
        found = self._found(frame)
        self._part(frame, found)
        for kind in ("stall", "drop"):
            if kind in found:
                self._swallow(frame, kind)
                return None
        self._refuse(frame, found)
        frame = self._changed(frame, found)
        if delay := found.get("delay"):
            now_s = time.monotonic()
            self._late = frame, min(now_s, frame.timestamp_ns / 1e9) + delay.by_s
            return None
        return frame

    def _found(self, frame: Frame) -> dict[str, Fault]:
        """The faults that are going on, by kind."""
        if not self._met:
            self._first_ns = frame.timestamp_ns
        since_ns = frame.timestamp_ns - self._first_ns
        found: dict[str, Fault] = {}
        for course in self._courses:
            if course.covers(self._met, since_ns):
                found[course.fault.kind] = course.fault
        self._met += 1
        return found

    def _part(self, frame: Frame, found: dict[str, Fault]) -> None:
        """Begin what lasts by the clock."""
        now_s = time.monotonic()
        if stall := found.get("stall"):
            self._silent_until_s = now_s + (stall.lasting[1] or 0.0)
        if disconnect := found.get("disconnect"):
            self._swallow(frame, "disconnect")
            self._gone, self._gone_until_s = True, now_s + (disconnect.lasting[1] or 0.0)
            self.camera.close()
            self._lost()

    def _refuse(self, frame: Frame, found: dict[str, Fault]) -> None:
        """Report what cannot be a frame of this camera."""
        true, total = _smaller(frame.form) if "format" in found else frame.form, frame.pixels.nbytes
        if "corrupt" in found:
            self._report(frame, "corrupt", "the driver says that the picture is damaged")
        if "short" in found:
            self._report(frame, "short", f"{self._random.randrange(total)} bytes, where a frame has {total}")
        if true != self._promised:
            self._report(frame, "format", f"frames are {_words(true)} now, not {_words(self._promised)}")

    def _report(self, frame: Frame, kind: str, what: str) -> NoReturn:
        self._swallow(frame, kind)
        raise InputError(what, remedy="close the camera and open it again if that goes on")

    def _changed(self, frame: Frame, found: dict[str, Fault]) -> Frame:
        last = self._last or frame
        if "freeze" in found:
            frame = replace(last, release=frame.release)
        elif "ffc" in found:
            frame = replace(frame, pixels=last.pixels)
        elif self._keeps:
            self._last = replace(frame, pixels=frame.pixels.copy(), release=_nothing)
        if "damage" in found:
            frame = replace(frame, pixels=self._damaged(frame.pixels))
        if "format" in found:
            frame = replace(frame, pixels=_cut(frame))
        if jump := found.get("clock_jump"):
            frame = replace(frame, timestamp_ns=frame.timestamp_ns + round(jump.by_s * 1e9))
        return frame

    def _damaged(self, pixels: Pixels) -> Pixels:
        damaged: Pixels = pixels.copy()
        content = damaged.reshape(-1).view(np.uint8)
        count = max(len(content) // _DAMAGED_SHARE, 1)
        start = self._random.randrange(len(content) - count + 1)
        content[start : start + count] = np.frombuffer(self._random.randbytes(count), np.uint8)
        return damaged

    def _delayed(self, frame: Frame, due_s: float, deadline_s: float) -> Frame | None:
        if not _wait(due_s, deadline_s):
            return None
        self._late = None
        return self._give(frame)

    def _give(self, frame: Frame) -> Frame:
        self.frames_in += 1
        self.frames_out += 1
        return frame

    def _swallow(self, frame: Frame, kind: str) -> None:
        frame.release()
        self.frames_in += 1
        self.swallowed[kind] += 1

    @staticmethod
    def _lost() -> NoReturn:
        raise CameraLostError("the camera is disconnected", remedy="close it, and open it again when it is back")


class _Course:
    """Where one fault is: to come, going on or over."""

    def __init__(self, fault: Fault, random: Random) -> None:
        self.fault = fault
        self._random = random
        self._began: tuple[int, int] | None = None
        self._ended = False
        # By the clock: the camera sees to it, once.
        by_clock = fault.kind in ("stall", "disconnect") and fault.lasting[1] is not None
        self._frames, self._seconds = (1, None) if by_clock else fault.lasting

    def covers(self, number: int, since_ns: int) -> bool:
        """Whether frame ``number``, that long after the first one, has this fault; asked once of each, in order."""
        if self._began and self._over(self._began[1], number, since_ns):
            self._began, self._ended = None, self.fault.rate is None
        if not self._began and self._begins(number, since_ns):
            self._began = number, since_ns
        return self._began is not None

    def goes_on(self, number: int) -> bool:
        """Whether it began and, as far as one can know, frame ``number`` will have it too."""
        return self._began is not None and (self._frames is None or number - self._began[0] < self._frames)

    def _begins(self, number: int, since_ns: int) -> bool:
        if self.fault.rate is not None:
            return self._random.random() < self.fault.rate
        if self.fault.at_frame is not None:
            return not self._ended and number >= self.fault.at_frame
        return not self._ended and since_ns >= round((self.fault.at_s or 0.0) * 1e9)

    def _over(self, began_ns: int, number: int, since_ns: int) -> bool:
        if self._seconds is not None:
            return since_ns - began_ns >= round(self._seconds * 1e9)
        return not self.goes_on(number)


def _nothing() -> None:
    """A copy is nobody's buffer."""


def _wait(until_s: float, deadline_s: float) -> bool:
    """Sleep until a time, or the deadline; whether the time has come."""
    while (left_s := min(until_s, deadline_s) - time.monotonic()) > 0:
        time.sleep(left_s)
    return time.monotonic() >= until_s


def _smaller(form: Form) -> Form:
    """What a camera's frames are after they changed: half as high."""
    width, height = form[1]
    return form[0], (width, max(height // 4 * 2, 2))


def _cut(frame: Frame) -> Pixels:
    """The upper half of a frame."""
    height, lines = frame.size_px[1], _smaller(frame.form)[1][1]
    if frame.format is PixelFormat.NV12:
        luma, chroma = frame.pixels[:lines], frame.pixels[height : height + lines // 2]
        return np.vstack([luma, chroma], dtype=np.uint8)
    return frame.pixels[:lines]


def _words(form: Form | None) -> str:
    return f"{form[0].value} {form[1][0]}x{form[1][1]}" if form else "as it was opened"
