"""``edgefusion rig init``: a first rig.toml, for the cameras of this machine or for simulated ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.files import atomic_write
from edgefusion.core.frames import PixelFormat
from edgefusion.core.geometry import Matrix, Size, resize_map

THERMAL_NAMES = re.compile(r"thermal|lwir|infrared|boson|lepton|flir|seek|tau ?2|hikmicro|purethermal", re.IGNORECASE)
VISIBLE_ORDER = ("NV12", "YUYV", "UYVY", "RGB24", "MJPEG", "GREY")
"""What is cheapest for the bus and for us first."""

THERMAL_ORDER = ("Y16", "Y16_BE", "GREY")
WIDEST_PX = 1280
"""Wider images are for who asks for them: fusing one costs as its pixels."""

USUAL_PX = (640, 480)


class Offer(Protocol):
    """One format of a device, as ``runtime.capture.v4l2`` lists them."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def sizes(self) -> Sequence[Size]: ...  # noqa: D102
    @property
    def stepwise(self) -> bool: ...  # noqa: D102


class Device(Protocol):
    """One camera of this machine."""

    @property
    def path(self) -> str | Path: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def formats(self) -> Sequence[Offer]: ...  # noqa: D102
    @property
    def problem(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Choice:
    """A camera as rig.toml names it, and where that comes from."""

    device: str
    format: PixelFormat
    size_px: Size
    note: str


def simulated() -> tuple[Choice, Choice, Matrix]:
    """Two cameras of one simulated drive, and their registration, which is exact."""
    from runtime.capture.simulated import SimulatedRig

    rig = SimulatedRig()
    visible = Choice(
        "simulated:seed=0,prerender=60", rig.visible_format, rig.visible_size_px, "a drive through the night"
    )
    thermal = Choice("simulated:seed=0,prerender=60", rig.thermal_format, rig.thermal_size_px, "the same drive")
    return visible, thermal, rig.registration


def chosen(devices: Iterable[Device]) -> tuple[Choice, Choice, Matrix]:
    """The likeliest two cameras of what is there, and a registration to begin with: the same view.

    Raises:
        MachineError: there are no two that could be a visible and a thermal camera.
    """
    there = list(devices)
    usable = [device for device in there if device.formats]
    thermals = sorted((device for device in usable if _likeness(device)), key=_likeness, reverse=True)
    for thermal in thermals:
        for visible in sorted(usable, key=_likeness):
            if visible is not thermal and _best(visible, VISIBLE_ORDER):
                pair = _choice(visible, VISIBLE_ORDER), _choice(thermal, THERMAL_ORDER)
                return (*pair, resize_map(pair[0].size_px, pair[1].size_px))
    found = "; ".join(f"{each.path}: {each.problem or f'{each.name}, {_formats(each)}'}" for each in there) or "none"
    raise MachineError(
        "no visible and thermal camera were found side by side",
        where="V4L2 devices",
        remedy=f"plug both in, or begin with --simulated; found: {found}",
    )


def write_rig(path: Path, cameras: tuple[Choice, Choice, Matrix], *, force: bool) -> None:
    """Write a commented rig.toml.

    Raises:
        UsageError: there is one already, and ``force`` is not given.
        MachineError: the place is not writable.
    """
    if path.exists() and not force:
        raise UsageError("there is one already", where=path, remedy="choose another --out, or give --force")
    with atomic_write(path) as stream:
        stream.write(_text(*cameras).encode())


def _likeness(device: Device) -> int:
    """How much a device looks like a thermal camera: 0 cannot be one."""
    names = {offer.name for offer in device.formats}
    if not names & set(THERMAL_ORDER):
        return 0
    coloured = bool(names & set(VISIBLE_ORDER[:-1]))
    return 1 + 4 * bool(THERMAL_NAMES.search(device.name)) + 2 * bool(names & {"Y16", "Y16_BE"}) - coloured


def _best(device: Device, order: Sequence[str]) -> Offer | None:
    offers = {offer.name: offer for offer in device.formats}
    return next((offers[name] for name in order if name in offers and offers[name].sizes), None)


def _choice(device: Device, order: Sequence[str]) -> Choice:
    offer = _best(device, order)
    assert offer is not None  # noqa: S101  # who asks has looked
    name = "NV12" if offer.name == "MJPEG" else offer.name
    return Choice(str(device.path), PixelFormat(name), _size(offer), f"{device.name}; {_formats(device)}")


def _size(offer: Offer) -> Size:
    if offer.stepwise:
        least, most = offer.sizes[0], offer.sizes[-1]
        width, height = (min(max(usual, low), high) for usual, low, high in zip(USUAL_PX, least, most, strict=True))
        return width, height
    fitting = [size for size in offer.sizes if size[0] <= WIDEST_PX]
    return max(fitting) if fitting else min(offer.sizes)


def _formats(device: Device) -> str:
    return ", ".join(offer.name for offer in device.formats)


def _text(visible: Choice, thermal: Choice, registration: Matrix) -> str:
    rows = ",\n".join("    [" + ", ".join(f"{value:.9g}" for value in row) + "]" for row in _rows(registration))
    known = "Exact for these cameras" if visible.device.startswith("simulated") else "A GUESS: both see the same view"
    bits = "bits = 14  # significant bits of a reading; see the camera's data sheet\n" if thermal.format.deep else ""
    return f"""\
# Two cameras and their geometry. Every field: docs/rig.md. Check it: edgefusion rig check THIS_FILE --open
schema = 1
name = "front"  # of the rig, in logs and in the status

tolerance_ms = 20.0  # exposures of a pair are at most so far apart

# From a visible pixel (x, y, 1) to the thermal point that shows the same, native pixels of both.
# {known}.
registration = [
{rows},
]

[visible]
device = {json.dumps(visible.device)}  # {visible.note}
format = "{visible.format.value}"
size_px = [{visible.size_px[0]}, {visible.size_px[1]}]
# fps = 30.0  # to ask for; its own where left out
# controls = {{ exposure_auto_priority = false }}  # by the driver's names

[thermal]
device = {json.dumps(thermal.device)}  # {thermal.note}
format = "{thermal.format.value}"
size_px = [{thermal.size_px[0]}, {thermal.size_px[1]}]
{bits}hold_s = 0.5  # the last frame serves so long, marked stale
# time_offset_ns = 0  # added to its timestamps: minus its constant latency

[policy]
visible_lost = "stop"  # or "thermal": publish it as grey, marked
# deadline_ms = 50.0  # exposure to published; later counts as missed. Otherwise one frame time, where fps is set

[[output]]
to = "ring:front"  # shared memory: edgefusion.subscribe("front") in any process
# mode = "0640"
# group = "video"  # who else may read it

# [[output]]
# to = "drive-%Y%m%d-%H%M%S.mcap"  # both inputs and the fused frames; a new file at each start
"""


def _rows(registration: Matrix) -> list[list[float]]:
    rows: list[list[float]] = np.asarray(registration).tolist()
    return rows
