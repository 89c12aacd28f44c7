"""A camera of the simulated rig, live: ``simulated:seed=1,fog=0.3``.

Give both cameras the same options and they are the two of one rig, in one process: at one exposure time they see the
same scene, whatever the rate of each. Size, format, rate and buffers are those of the camera's settings.

    ==============  ===========================================================================================
    seed=0          which drive
    fog=0           0 (clear) to 1 (a visibility of 36 m)
    visible=640x480 the visible camera's size, for the thermal camera: it is built to cover what that one sees
    prerender=0     so many pictures are drawn when it is opened and shown in turn, so that frames cost nothing
    pace=1          0: frames as fast as they are asked for; time passes as fast as that
    ==============  ===========================================================================================

``SimulatedRig(visible_size_px=..., thermal_size_px=...).registration`` is the rig's.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from edgefusion.core import rig
from edgefusion.core.errors import RigError, UsageError
from edgefusion.core.frames import Clock, Form, PixelFormat, Pixels
from edgefusion.core.geometry import Size, parse_size
from edgefusion.recordings.pairing import Side
from runtime.capture.buffers import allocate
from runtime.capture.options import Options, parse_options
from runtime.capture.paced import PacedCamera
from runtime.capture.simulated import SimulatedRig
from runtime.capture.timeline import Seat, Timeline

FPS = 30.0
"""Of a camera whose settings name no rate."""


def _size(text: Any) -> Size:
    try:
        return parse_size(text)
    except UsageError as error:
        raise ValueError(error.what) from error


class SimulatedOptions(Options):
    """What the address may say."""

    seed: int = Field(0, ge=0, description="a whole number from 0")
    fog: float = Field(0.0, ge=0, le=1, description="0 (clear) to 1 (a visibility of 36 m)")
    visible: Annotated[Size, BeforeValidator(_size)] | None = Field(None, description="WxH, such as 640x480")
    prerender: int = Field(0, ge=0, le=3000, description="how many pictures to draw beforehand, 0 to 3000")
    pace: int = Field(1, ge=0, le=1, description="1, or 0 for frames as fast as they are asked for")


class SimulatedCamera(PacedCamera):
    """One camera of a simulated rig; the module says what its address may be.

    Args:
        address: the options.
        settings: size, format, rate (30 if they name none) and buffers.
        side: which camera of the rig.

    Raises:
        RigError: an option, size or format that is not possible.
    """

    def __init__(self, address: str, settings: rig.Camera, side: Side) -> None:
        where = f"{side}.device"
        options = parse_options(address, SimulatedOptions, where=where)
        self._side, self._fps, self._prerender = side, settings.fps or FPS, options.prerender
        self._form: Form = (settings.delivered, settings.size_px)
        self._rig = _rig(options, self._form, side, where)
        self._pictures: list[Pixels] = []
        self._number = 0
        timeline = Timeline.shared(("simulated", options.seed, options.prerender), 1.0 if options.pace else None)
        super().__init__(Seat(timeline, self._fps), settings.buffers)

    def _begin(self) -> Form:
        if self._prerender:
            self._pictures = self._pictures or self._drawn()
        else:
            self._allocate(self._form)
        self.facts = {"kind": "simulated", "memory": "host", "copies": 0, "rate": self._fps}
        self.facts["paced"] = self._paced
        return self._form

    def _due_ns(self, ahead: int) -> int:
        return self._exposed_ns(self._number + ahead)

    def _skip(self) -> None:
        self._number += 1

    def _take(self, buffer: int) -> tuple[Pixels, PixelFormat, int, Clock, int]:
        number = self._number
        self._number += 1
        exposed_ns = self._exposed_ns(number)
        if self._prerender:
            pixels = self._pictures[self._nearest(exposed_ns)]
        else:
            pixels = self._draw(number, self._arrays[buffer])
        return pixels, self._form[0], exposed_ns, "monotonic", number

    def _exposed_ns(self, number: int) -> int:
        return round(number * 1e9 / self._fps)

    def _draw(self, number: int, out: Pixels) -> Pixels:
        return self._rig.view(self._side, time_s=number / self._fps, index=number, out=out)

    def _drawn(self) -> list[Pixels]:
        """Pictures of as long a piece of the drive as the other camera's, though that one may have another rate."""
        count = max(round(self._loop_ns * self._fps / 1e9), 1)
        return [self._draw(number, out) for number, out in enumerate(allocate(*self._form, count))]

    @property
    def _loop_ns(self) -> int:
        return self._seat.timeline.loop_ns(self._prerender)

    def _nearest(self, exposed_ns: int) -> int:
        """The picture nearest in time to an exposure."""
        return round(exposed_ns % self._loop_ns * self._fps / 1e9) % len(self._pictures)


def _rig(options: SimulatedOptions, form: Form, side: Side, where: str) -> SimulatedRig:
    given: dict[str, Any] = {f"{side}_format": form[0], f"{side}_size_px": form[1]}
    if options.visible and side == "visible" and options.visible != form[1]:
        width, height = form[1]
        raise RigError(
            f"visible={options.visible[0]}x{options.visible[1]}",
            where=where,
            remedy=f"visible.size_px is {width}x{height}: leave it out or make both the same",
        )
    if options.visible:
        given["visible_size_px"] = options.visible
    try:
        return SimulatedRig(seed=options.seed, fog=options.fog, **given)
    except UsageError as error:
        raise RigError(f"{error.where}: {error.what}", where=where, remedy=error.remedy) from error
