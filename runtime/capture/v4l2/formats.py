"""Pixel formats, sizes and rates: what a device offers, and asking it for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgefusion.core import rig
from edgefusion.core.errors import RigError
from edgefusion.core.frames import PixelFormat
from edgefusion.core.geometry import Size
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.node import Node, explaining

BIG_ENDIAN = 1 << 31


def fourcc(name: str) -> int:
    """The number of a format of four letters."""
    return int.from_bytes(name.encode(), "little")


CODES = {
    PixelFormat.RGB24: fourcc("RGB3"),
    PixelFormat.NV12: fourcc("NV12"),
    PixelFormat.YUYV: fourcc("YUYV"),
    PixelFormat.UYVY: fourcc("UYVY"),
    PixelFormat.GREY: fourcc("GREY"),
    PixelFormat.Y16: fourcc("Y16 "),
    PixelFormat.Y16_BE: fourcc("Y16 ") | BIG_ENDIAN,
}
JPEGS = (fourcc("MJPG"), fourcc("JPEG"))
DECODED = (PixelFormat.RGB24, PixelFormat.NV12)
"""What a JPEG can become."""

_NAMES = {code: pixel_format.value for pixel_format, code in CODES.items()} | dict.fromkeys(JPEGS, "MJPEG")
CLOSE_ENOUGH = 0.02
"""A rate may differ so much from what was asked: 29.97 is 30."""


def code_name(code: int) -> str:
    """What to call a format: our name for it, or its four letters."""
    letters = (code & ~BIG_ENDIAN).to_bytes(4, "little").decode("ascii", "replace").strip()
    return _NAMES.get(code) or letters + ("_BE" if code & BIG_ENDIAN else "")


@dataclass(frozen=True)
class Offer:
    """One format of a camera.

    Attributes:
        name: ours (``PixelFormat``), or MJPEG, which is decoded into RGB24 or NV12.
        sizes: (width, height) that it comes in; where ``stepwise``, the smallest and the largest.
        stepwise: whether there are sizes between the two.
    """

    name: str
    sizes: tuple[Size, ...]
    stepwise: bool = False

    @property
    def span(self) -> str:
        """Its sizes in words."""
        return (" to " if self.stepwise else ", ").join(f"{width}x{height}" for width, height in self.sizes)

    def __str__(self) -> str:
        return f"{self.name} {self.span}"


@dataclass(frozen=True)
class Form:
    """How images come from a device.

    Attributes:
        format: of the frames made of them.
        code: what the driver calls the layout.
        size_px: (width, height).
        stride: bytes from one row to the next.
        length: bytes of a buffer.
        fps: the rate; None if the driver does not say.
    """

    format: PixelFormat
    code: int
    size_px: Size
    stride: int
    length: int
    fps: float | None = None

    @property
    def compressed(self) -> bool:
        """Whether images are JPEGs."""
        return self.code in JPEGS

    @property
    def row(self) -> int:
        """Bytes of a row without padding."""
        width = self.size_px[0]
        per_pixel = {PixelFormat.RGB24: 3, PixelFormat.NV12: 1, PixelFormat.GREY: 1}.get(self.format, 2)
        return width * per_pixel

    @property
    def rows(self) -> int:
        """Rows of an image, with those of the chroma of NV12."""
        return self.format.array_shape(*self.size_px)[0]

    @property
    def padded(self) -> bool:
        """Whether there are bytes between the rows."""
        return not self.compressed and self.stride > self.row

    @property
    def needed(self) -> int:
        """Bytes that an image must have to be whole; of a JPEG one cannot know."""
        return 1 if self.compressed else self.stride * (self.rows - 1) + self.row


def offers(node: Node) -> tuple[Offer, ...]:
    """The formats that a device offers and that can be used here."""
    codes = [item.pixelformat for item in node.each(abi.ENUM_FMT, abi.FormatDescription(type=abi.CAPTURE))]
    return tuple(_offer(node, code) for code in dict.fromkeys(codes) if code in _NAMES)


def _offer(node: Node, code: int) -> Offer:
    found: list[Size] = []
    for item in node.each(abi.ENUM_FRAMESIZES, abi.FrameSize(pixel_format=code)):
        if item.type != abi.DISCRETE:
            steps = item.stepwise
            ends = (steps.min_width, steps.min_height), (steps.max_width, steps.max_height)
            return Offer(_NAMES[code], ends, stepwise=True)
        found.append((item.discrete.width, item.discrete.height))
    return Offer(_NAMES[code], tuple(found))


def describe(offered: tuple[Offer, ...]) -> str:
    """What a device offers, for a remedy."""
    if not offered:
        return "it offers none that can be used here"
    spans: dict[str, list[str]] = {}
    for offer in offered:
        spans.setdefault(offer.span, []).append(offer.name)
    return "it offers " + "; ".join(f"{', '.join(names)} in {span}" for span, names in spans.items())


def choose(node: Node, settings: rig.Camera, where: str) -> Form:
    """Ask a camera for the format, size and rate of a rig; for JPEGs only where the format itself is not to be had.

    Raises:
        RigError: it does not offer them; says what it offers.
        MachineError: it is busy.
    """
    first: RigError | None = None
    for code in _wanted(settings.format):
        try:
            return _ask(node, code, settings, where)
        except RigError as error:
            first = first or error
    assert first is not None  # noqa: S101 - there is a code for every format
    raise first


def _wanted(pixel_format: PixelFormat) -> tuple[int, ...]:
    jpegs = JPEGS if pixel_format in DECODED else ()
    return (CODES[pixel_format], *jpegs)


def _ask(node: Node, code: int, settings: rig.Camera, where: str) -> Form:
    got = set_format(node, code, settings.size_px)
    if got.pixelformat != code:
        what = f"{where}.format: it does not give {settings.format.value}"
        raise RigError(what, where=node.path, remedy=describe(offers(node)))
    if (got.width, got.height) != settings.size_px:
        asked, given = ("x".join(map(str, size)) for size in (settings.size_px, (got.width, got.height)))
        what = f"{where}.size_px: it gives {given} for {asked} in {code_name(code)}"
        raise RigError(what, where=node.path, remedy=describe(offers(node)))
    fps = _set_rate(node, code, settings, where)
    form = Form(settings.delivered, code, settings.size_px, got.bytesperline, got.sizeimage, fps)
    if form.length < form.needed:
        raise RigError(f"{where}: its buffers of {form.length} bytes do not hold an image", where=node.path)
    return form


def set_format(node: Node, code: int, size_px: Size, direction: int = abi.CAPTURE) -> abi.PixFormat:
    """Ask for a format and size; what the device makes of it. Raises MachineError: it is busy."""
    asked = abi.Format(type=direction)
    asked.fmt.pix = abi.PixFormat(size_px[0], size_px[1], code, abi.FIELD_NONE)
    with explaining(node.path, "setting the format"):
        if not node.asks(abi.S_FMT, asked):
            return abi.PixFormat()
    return abi.PixFormat.from_buffer_copy(asked.fmt.pix)


def _set_rate(node: Node, code: int, settings: rig.Camera, where: str) -> float | None:
    """Ask for the rate; the rate it then has."""
    asked = abi.StreamParameters(type=abi.CAPTURE)
    with explaining(node.path, "asking for its rate"):
        known = node.asks(abi.G_PARM, asked)
    if settings.fps is None:
        return _rate(asked) if known else None
    if not known or not asked.parm.capture.capability & abi.TIME_PER_FRAME:
        raise RigError(f"{where}.fps: its rate cannot be set", where=node.path, remedy="leave fps out")
    asked.parm.capture.timeperframe = abi.Fraction(1000, round(settings.fps * 1000))
    with explaining(node.path, "setting its rate"):
        node.call(abi.S_PARM, asked)
    got = _rate(asked)
    if got is None or abs(got - settings.fps) > CLOSE_ENOUGH * settings.fps:
        what = f"{where}.fps: it gives {got or 0:.4g} for {settings.fps:.4g} in {code_name(code)}"
        raise RigError(what, where=node.path, remedy=_describe_rates(node, code, settings.size_px))
    return got


def _rate(parameters: abi.StreamParameters) -> float | None:
    time = parameters.parm.capture.timeperframe
    return time.denominator / time.numerator if time.numerator and time.denominator else None


def _describe_rates(node: Node, code: int, size_px: Size) -> str:
    found = sorted(set(_rates(node, code, size_px)))
    return f"at this size it offers {', '.join(f'{rate:.4g}' for rate in found)}" if found else "leave fps out"


def _rates(node: Node, code: int, size_px: Size) -> Iterator[float]:
    first = abi.FrameInterval(pixel_format=code, width=size_px[0], height=size_px[1])
    for item in node.each(abi.ENUM_FRAMEINTERVALS, first):
        fractions = [item.discrete] if item.type == abi.DISCRETE else [item.stepwise.min, item.stepwise.max]
        yield from (each.denominator / each.numerator for each in fractions if each.numerator)
