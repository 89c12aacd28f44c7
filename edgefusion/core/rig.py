"""The rig: two cameras and their geometry, from ``rig.toml``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from edgefusion.core import toml
from edgefusion.core.bend import LEAST_RADIAL, MOST_RADIAL, radial_bend
from edgefusion.core.errors import InputError, RigError
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, PixelFormat
from edgefusion.core.geometry import Bend, Matrix, Registration, Size, check_registration, resize_map
from edgefusion.core.mistakes import Mistake, explain, parse, validate

if TYPE_CHECKING:
    from edgefusion.core.lenses import Geometry

RING = "ring:"
"""How an output that is a ring begins; its name follows."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Camera(_Part):
    """One camera."""

    size_px: tuple[PositiveInt, PositiveInt] = Field(description="(width, height) the registration is given for")
    format: PixelFormat
    device: str | None = Field(None, description="where live frames come from; runtime.capture lists the kinds")
    fps: float | None = Field(None, gt=0, le=1000, description="rate to ask the camera for; None: its own")
    controls: dict[str, bool | int | str] = Field(default_factory=dict, description="by the driver's names")
    memory: Literal["auto", "userptr", "dmabuf", "mmap", "copy"] = "auto"
    buffers: int = Field(4, ge=3, le=32, description="to ask the driver for")
    time_offset_ns: int = Field(0, description="added to its timestamps: minus its constant latency")

    @property
    def delivered(self) -> PixelFormat:
        """The format of its frames: as ``format`` says, but for the order of bytes."""
        return self.format


class ThermalCamera(Camera):
    """The thermal camera: also facts about its sensor."""

    bits: int = Field(16, ge=8, le=16, description="significant bits of a Y16 reading")
    byte_order: Literal["little", "big"] = Field("little", description="of a Y16 reading, as it really arrives")
    hold_s: float = Field(0.5, ge=0, le=10, description="the last frame serves so long, marked stale")

    @property
    def delivered(self) -> PixelFormat:
        """The format of its frames: some cameras that say Y16 send the bytes swapped, which ``byte_order`` tells."""
        swapped = self.byte_order == "big" and self.format is PixelFormat.Y16
        return PixelFormat.Y16_BE if swapped else self.format


class Policy(_Part):
    """What happens when something fails."""

    visible_lost: Literal["stop", "thermal"] = "stop"
    lost_after_s: float = Field(default=1.0, gt=0, le=60, description="without a frame, a camera counts as lost")
    reconnect_s: float = Field(
        default=5.0, gt=0, le=300, description="longest wait before a lost camera is tried again"
    )
    deadline_ms: float | None = Field(
        default=None, gt=0, description="exposure to published; later counts as missed; by default a frame time at fps"
    )
    watchdog_s: float = Field(default=10.0, gt=0, le=600, description="a loop that does not turn for so long is stuck")


class Drift(_Part):
    """What is done about a registration that is no longer right."""

    watch: bool = Field(default=True, description="measure it while running, in spare time")
    every_s: float = Field(default=1.5, ge=0.2, le=600, description="between measurements, at least")
    limit_px: float = Field(default=2.5, gt=0, le=100, description="a change of so much is reported")
    auto_correct: bool = Field(default=False, description="follow it, in steps too small to be seen")
    range_px: float = Field(default=20.0, gt=0, le=200, description="corrected by so much at most")
    budget_px: float = Field(default=30.0, gt=0, le=400, description="farther off, the visible image passes through")


class Output(_Part):
    """One place where fused frames go."""

    to: str = Field(min_length=1, description="as --output takes it: ring:front, fused.mp4, v4l2:/dev/video9 ...")
    slots: int = Field(default=8, ge=3, le=64, description="of a ring")
    mode: str = Field(
        default="0600", pattern=r"^0?[0-7]{3}$", examples=["0640"], description="of a ring: who may read, in octal"
    )
    group: str | None = Field(default=None, description="of a ring: the group it belongs to")


class Lens(_Part):
    """What calibration found of one camera: a pinhole and OpenCV's radial and tangential terms."""

    focal_px: tuple[float, float] = Field(description="along x and y, for the camera's size_px")
    centre_px: tuple[float, float] = Field(description="where the optical axis meets the image")
    distortion: tuple[float, float, float, float, float] = Field(description="k1, k2, p1, p2, k3")


class Calibration(_Part):
    """How the registration came about, and what the lenses add to it; only ``baseline_m`` is written by hand."""

    baseline_m: float | None = Field(default=None, ge=0, le=10, description="between the two lenses, by ruler")
    target: str | None = Field(default=None, description="what was calibrated on")
    reference_m: float | None = Field(default=None, gt=0, description="how far away the registration is right")
    error_px: float | None = Field(default=None, ge=0, description="RMS distance of the target's points")
    uncertainty_px: float | None = Field(default=None, ge=0, description="of the registration, in visible pixels")
    rotation: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]] | None = Field(
        default=None, description="from the visible camera's axes to the thermal one's"
    )
    translation_m: tuple[float, float, float] | None = Field(default=None, description="the same")
    radial: float | None = Field(
        default=None, ge=LEAST_RADIAL, le=MOST_RADIAL, description="after the registration, where no lenses are given"
    )
    visible: Lens | None = None
    thermal: Lens | None = None

    @model_validator(mode="after")
    def _one_bend(self) -> Calibration:
        if self.radial is not None and (self.visible or self.thermal):
            raise ValueError("radial and lenses exclude each other: remove one")
        return self


class Rig(_Part):
    """``rig.toml``. The registration maps a visible pixel to the thermal point it shows."""

    visible: Camera
    thermal: ThermalCamera
    registration: tuple[tuple[float, float, float], ...]
    name: str = Field("rig", pattern=r"^[a-z0-9][a-z0-9_-]*$", examples=["front"])
    tolerance_ms: float = Field(20.0, gt=0, le=1000, description="exposures of a pair are at most so far apart")
    policy: Policy = Policy()
    drift: Drift = Drift()
    outputs: tuple[Output, ...] = Field((), alias="output")
    calibration: Calibration | None = None
    schema_version: Literal[1] = Field(1, alias="schema")

    @field_validator("registration")
    @classmethod
    def _invertible(cls, rows: tuple[tuple[float, float, float], ...]) -> tuple[tuple[float, float, float], ...]:
        try:
            check_registration(rows)
        except InputError as error:
            raise ValueError(error.what) from error
        return rows

    def registration_for(self, visible: Size, thermal: Size) -> Registration:
        """For frames of these sizes: ``registration``, and what the calibrated lenses add to it."""
        matrix = check_registration(self.registration)
        bend, _ = self._bend(matrix)
        return Registration(matrix, bend).scaled(
            visible=(self.visible.size_px, visible), thermal=(self.thermal.size_px, thermal)
        )

    @property
    def lenses_ignored(self) -> str:
        """Why the lenses of ``[calibration]`` are not followed, as a clause; empty if they are, or there are none."""
        return self._bend(check_registration(self.registration))[1]

    def _bend(self, matrix: Matrix) -> tuple[Bend | None, str]:
        given = self.calibration
        if given is None:
            return None, ""
        if given.visible is None and given.thermal is None:
            sizes = {"visible": self.visible.size_px, "thermal": self.thermal.size_px}
            return radial_bend(given.radial, matrix, **sizes) if given.radial else None, ""
        geometry = self._geometry(given)
        if geometry is None or given.reference_m is None:
            return None, "both lenses, rotation, translation_m and reference_m are needed"
        try:
            return geometry.bend(matrix, given.reference_m), ""
        except ValueError as error:
            return None, str(error)

    def _geometry(self, given: Calibration) -> Geometry | None:
        if not (given.visible and given.thermal and given.rotation and given.translation_m):
            return None
        from edgefusion.core.lenses import Geometry, pinhole  # imports OpenCV

        visible = pinhole(self.visible.size_px, **given.visible.model_dump())
        thermal = pinhole(self.thermal.size_px, **given.thermal.model_dump())
        return Geometry(visible, thermal, np.array(given.rotation), np.array(given.translation_m))


def registered(visible: Size, thermal: Size) -> Registration:
    """The registration of a recording that is registered already: the two images show the same view."""
    return Registration(np.eye(3) if visible == thermal else resize_map(visible, thermal))


def load_rig(path: Path) -> Rig:
    """Read and check a ``rig.toml``.

    Raises:
        RigError: missing, not TOML, or fields that are wrong: every one of them, each with its line.
    """
    found = examine_rig(path)
    mistakes = found.mistakes
    if found.rig is None or mistakes:
        places = [f"{path}:{each.line}" if each.line else str(path) for each in mistakes]
        others = [f"{place}: {each}" for place, each in zip(places[1:], mistakes[1:], strict=True)]
        raise RigError(";\n".join([str(mistakes[0]), *others]), where=places[0], remedy="see docs/rig.md")
    return found.rig


@dataclass(frozen=True)
class Examined:
    """A rig.toml as it was found.

    Attributes:
        rig: what it says; None where that makes no rig.
        mistakes: everything that is wrong, in order.
        lines: where its fields stand.
    """

    rig: Rig | None
    mistakes: tuple[Mistake, ...]
    lines: toml.Lines


def examine_rig(path: Path) -> Examined:
    """What a ``rig.toml`` says, and everything that is wrong with it.

    Raises:
        RigError: it cannot be read at all.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise RigError(f"cannot read it ({error.strerror})", where=path) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Examined(None, (Mistake(line, "", "not TOML: this line is no UTF-8 text"),), toml.Lines(""))
    return examine_text(text)


def read_text(path: Path) -> str:
    """The text of a ``rig.toml``, its lines ended by newlines alone.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read, or is no text.
    """
    return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")


def examine_text(text: str) -> Examined:
    """``examine_rig`` of the text alone."""
    data = parse(text)
    if isinstance(data, Mistake):
        return Examined(None, (data,), toml.Lines(""))
    return _checked(data, toml.Lines(text))


def _checked(data: dict[str, Any], lines: toml.Lines) -> Examined:
    found = validate(Rig, data)
    mistakes = [*_format_mistakes(data, lines), *_ring_mistakes(data, lines)]
    named = {mistake.field for mistake in mistakes}
    if isinstance(found, ValidationError):
        mistakes += [each for each in explain(found, Rig, data, lines=lines) if each.field not in named]
    mistakes.sort(key=lambda mistake: mistake.line or 0)
    return Examined(found if isinstance(found, Rig) else None, tuple(mistakes), lines)


def _format_mistakes(data: dict[str, Any], lines: toml.Lines) -> Iterator[Mistake]:
    """Formats that the camera of that side cannot have."""
    for side, allowed in (("visible", VISIBLE_FORMATS), ("thermal", THERMAL_FORMATS)):
        camera = data.get(side)
        given = camera.get("format") if isinstance(camera, dict) else None
        names = [each.value for each in allowed]
        if given is not None and given not in names:
            what = f"{given} is not one of {', '.join(names)}"
            yield Mistake(lines.of((side, "format")), f"{side}.format", what)


def _ring_mistakes(data: dict[str, Any], lines: toml.Lines) -> Iterator[Mistake]:
    """Rings after the first."""
    outputs = data.get("output")
    places = [output.get("to") for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
    rings = [number for number, to in enumerate(places) if isinstance(to, str) and to.startswith(RING)]
    for number in rings[1:]:
        what = "a second ring; any number of processes can read one"
        yield Mistake(lines.of(("output", number, "to")), f"output.{number}.to", what)
