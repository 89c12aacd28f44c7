"""A rig's cameras, opened for some seconds: what they deliver, how fast, and how the two fit in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import EdgeFusionError, RunError
from edgefusion.core.frames import Form, Frame
from edgefusion.core.progress import progress
from edgefusion.core.rig import Camera, Rig, ThermalCamera
from edgefusion.recordings.pairing import Side
from runtime.capture.base import StreamEndError, open_camera
from runtime.capture.readings import swapped
from runtime.rig.findings import Finding, RigReport, Say
from runtime.sync.timeline import monotonic_ns

PATIENCE_S = 0.25
FIRST_S = 5.0
"""A camera may take so long until its first frame; the time to watch it begins there."""

RATE_MARGIN = 0.1
"""A rate this much off what was asked for is worth a warning."""

FITTING_SHARE = 0.9
LATE_S = 0.2


@dataclass
class Seen:
    """What one camera delivered.

    Attributes:
        exposures_ns: on CLOCK_MONOTONIC.
        latencies_ns: from the exposure until the frame was here.
        error: why it ended early.
    """

    form: Form | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    clock: str = ""
    exposures_ns: list[int] = field(default_factory=list)
    latencies_ns: list[int] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    picture: Frame | None = None
    error: EdgeFusionError | None = None

    @property
    def fps(self) -> float | None:
        """Frames per second by their exposures; None of fewer than two."""
        span_ns = self.exposures_ns[-1] - self.exposures_ns[0] if self.exposures_ns else 0
        return 1e9 * (len(self.exposures_ns) - 1) / span_ns if span_ns > 0 else None

    @property
    def lost(self) -> int:
        """Frames that the camera numbered and that did not come."""
        return max(0, self.sequences[-1] - self.sequences[0] + 1 - len(self.sequences)) if self.sequences else 0

    def to_dict(self) -> dict[str, Any]:
        """For people and for JSON."""
        pixel_format, size = self.form or (None, None)
        return {
            "format": pixel_format.value if pixel_format else None,
            "size_px": list(size) if size else None,
            "frames": len(self.exposures_ns),
            "fps": None if self.fps is None else round(self.fps, 2),
            "lost": self.lost,
            "clock": self.clock or None,
            "latency_ms": round(float(np.median(self.latencies_ns)) / 1e6, 2) if self.latencies_ns else None,
            **self.facts,
        }


def try_cameras(report: RigReport, rig: Rig, say: Say, *, seconds: float, quiet: bool = False) -> RigReport:
    """The report with what both cameras really do, opened together for some seconds."""
    sides: dict[Side, Camera] = {"visible": rig.visible, "thermal": rig.thermal}
    seen = {side: Seen() for side in sides}
    with ThreadPoolExecutor(len(sides)) as pool, progress("watching both cameras", None, hidden=quiet):
        window = Window(sides, seconds)
        for watched in [pool.submit(watch, side, sides[side], seen[side], window) for side in sides]:
            watched.result()
    found = [each for side, camera in sides.items() for each in _of_camera(side, camera, seen[side], say)]
    pairs = fit(seen["visible"], seen["thermal"], tolerance_ms=rig.tolerance_ms)
    found += _of_pairs(pairs, rig, say)
    cameras = {str(side): each.to_dict() for side, each in seen.items()}
    return replace(report, findings=(*report.findings, *found), cameras=cameras, pairs=pairs)


class Window:
    """The time in which both cameras are watched: it begins when each has brought a frame, or never will.

    Args:
        sides: the cameras.
        seconds: how long it is.
    """

    def __init__(self, sides: Iterable[Side], seconds: float) -> None:
        self._awaited, self._seconds = set(sides), seconds
        self._lock = threading.Lock()
        self._end_s: float | None = None

    def came(self, side: Side) -> None:
        """A camera brought a frame, or never will."""
        with self._lock:
            self._awaited.discard(side)
            if not self._awaited and self._end_s is None:
                self._end_s = time.monotonic() + self._seconds

    def over(self, side: Side, since_s: float) -> bool:
        """Whether a camera that is open since then has been watched for long enough."""
        now_s = time.monotonic()
        if side in self._awaited and now_s >= since_s + max(self._seconds, FIRST_S):
            return True
        return self._end_s is not None and now_s >= self._end_s


def watch(side: Side, settings: Camera, seen: Seen, window: Window) -> None:
    """Open a camera, look at its frames, and close it; what goes wrong is kept in ``seen``."""
    try:
        camera = open_camera(side, settings)
        try:
            seen.form, since_s = camera.open(), time.monotonic()
            while not window.over(side, since_s):
                frame = camera.read(PATIENCE_S)
                if frame is not None:
                    window.came(side)
                    _note(frame, seen, settings.time_offset_ns)
        finally:
            seen.facts = dict(camera.facts)
            camera.close()
    except StreamEndError:
        return  # a short recording: what it had was seen
    except EdgeFusionError as error:
        seen.error = error
    finally:
        window.came(side)


def _note(frame: Frame, seen: Seen, offset_ns: int) -> None:
    now_ns = time.monotonic_ns()
    exposure_ns = monotonic_ns(frame, now_ns, time.time_ns()) + offset_ns
    seen.clock = frame.clock
    seen.exposures_ns.append(exposure_ns)
    seen.latencies_ns.append(now_ns - exposure_ns)
    seen.sequences.append(frame.sequence)
    seen.picture = Frame(frame.pixels.copy(), frame.format, frame.timestamp_ns, frame.clock, frame.sequence)
    frame.release()


def _of_camera(side: Side, camera: Camera, seen: Seen, say: Say) -> Iterator[Finding]:
    if seen.error is not None:
        yield say("error", f"{side}.device", str(seen.error), seen.error.exit_code)
    elif not seen.exposures_ns:
        yield say("error", f"{side}.device", "it is open, but no frame came", RunError.exit_code)
    if seen.form:
        yield from _of_form(side, camera, seen.form, say)
    if camera.fps and seen.fps and abs(seen.fps / camera.fps - 1) > RATE_MARGIN:
        yield say("warning", f"{side}.fps", f"{camera.fps:g} asked for, {seen.fps:.1f} measured")
    if seen.lost:
        yield say("warning", f"{side}.buffers", f"{seen.lost} of {seen.lost + len(seen.sequences)} frames never came")
    if seen.latencies_ns and not -0.001 <= (late_s := float(np.median(seen.latencies_ns)) / 1e9) < LATE_S:
        what = f"frames come {late_s:.3f} s after their exposure; if that is constant, time_offset_ns corrects it"
        yield say("warning", f"{side}.time_offset_ns", what)
    if seen.picture is not None:
        yield from _of_picture(side, camera, seen.picture, say)


def _of_form(side: Side, camera: Camera, form: Form, say: Say) -> Iterator[Finding]:
    pixel_format, size = form
    if pixel_format is not camera.format and not (pixel_format.deep and camera.format.deep):
        yield say("warning", f"{side}.format", f"{camera.format.value} asked for, {pixel_format.value} comes")
    if size != camera.size_px:
        given, asked = ("x".join(map(str, each)) for each in (size, camera.size_px))
        yield say("warning", f"{side}.size_px", f"{given} comes; the registration, for {asked}, is scaled to it")


def _of_picture(side: Side, camera: Camera, frame: Frame, say: Say) -> Iterator[Finding]:
    pixels = frame.pixels
    if int(pixels.min()) == int(pixels.max()):
        yield say("warning", side, f"every pixel is {int(pixels.min())}: a closed shutter or a covered lens?")
    if not frame.format.deep or not isinstance(camera, ThermalCamera):
        return
    readings = frame.readings
    if swapped(readings):
        other = "little" if camera.byte_order == "big" else "big"
        yield say("warning", "thermal.byte_order", f'the picture is smooth only with byte_order = "{other}"')
    elif int(readings.max()) >= 1 << camera.bits:
        needed = int(readings.max()).bit_length()
        yield say("warning", "thermal.bits", f"readings up to {int(readings.max())} need {needed} bits")


def fit(visible: Seen, thermal: Seen, *, tolerance_ms: float) -> dict[str, Any] | None:
    """How far each visible frame is from the thermal frame nearest in time; None where one had no frames."""
    if not visible.exposures_ns or not thermal.exposures_ns:
        return None
    ours, theirs = (np.sort(np.array(each.exposures_ns, np.int64)) for each in (visible, thermal))
    both = (ours >= theirs[0] - tolerance_ms * 1e6) & (ours <= theirs[-1] + tolerance_ms * 1e6)
    if not both.any():
        return {"skew_ms": None, "within_tolerance": 0.0}
    distances = _to_nearest(ours[both], theirs) / 1e6
    skew = {"p50": round(float(np.median(distances)), 2), "max": round(float(distances.max()), 2)}
    return {"skew_ms": skew, "within_tolerance": round(float((distances <= tolerance_ms).mean()), 3)}


def _to_nearest(ours: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The distance of each of ours to the nearest of theirs, which are sorted."""
    after = np.searchsorted(theirs, ours).clip(0, len(theirs) - 1)
    before = (after - 1).clip(0)
    nearest: npt.NDArray[np.int64] = np.minimum(np.abs(theirs[after] - ours), np.abs(theirs[before] - ours))
    return nearest


def _of_pairs(pairs: dict[str, Any] | None, rig: Rig, say: Say) -> Iterator[Finding]:
    if pairs is None:
        return
    share, skew = pairs["within_tolerance"], pairs["skew_ms"]
    if skew is None:
        yield say("error", "tolerance_ms", "the cameras' times have nothing in common: do their clocks agree?", 5)
    elif share < FITTING_SHARE:
        what = (
            f"{share:.0%} of the visible frames have a thermal frame within {rig.tolerance_ms:g} ms "
            f"(median {skew['p50']:g} ms): mind the rates, time_offset_ns or the tolerance"
        )
        yield say("warning", "tolerance_ms", what)
