"""What a GStreamer camera needs of GStreamer: its library, words for formats and errors, pixels without a copy."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core import rig
from edgefusion.core.errors import EdgeFusionError, InputError, MachineError, RigError
from edgefusion.core.frames import PixelFormat
from edgefusion.core.geometry import Size
from edgefusion.core.optional import require
from runtime.capture.base import CameraLostError, without_passwords

Bytes = npt.NDArray[np.uint8]

NAMES = {
    PixelFormat.RGB24: "RGB",
    PixelFormat.NV12: "NV12",
    PixelFormat.YUYV: "YUY2",
    PixelFormat.UYVY: "UYVY",
    PixelFormat.GREY: "GRAY8",
    PixelFormat.Y16: "GRAY16_LE",
    PixelFormat.Y16_BE: "GRAY16_BE",
}
"""GStreamer's names."""

NONE = 2**64 - 1
"""GST_CLOCK_TIME_NONE and GST_BUFFER_OFFSET_NONE."""

REMEDY = (
    "install python3-gi, gir1.2-gst-plugins-base-1.0 and gstreamer1.0-plugins-base (JetPack has them), and make the "
    "virtual environment with --system-site-packages"
)

PACKAGES = (
    ("nv", "nvidia-l4t-gstreamer (JetPack)"),
    ("avdec_", "gstreamer1.0-libav"),
    ("v4l2", "gstreamer1.0-plugins-good"),
    ("rtp", "gstreamer1.0-plugins-good"),
    ("rtsp", "gstreamer1.0-plugins-good"),
    ("jpeg", "gstreamer1.0-plugins-good"),
    ("video", "gstreamer1.0-plugins-base"),
    ("h26", "gstreamer1.0-plugins-bad"),
)
"""Beginnings of elements' names -> Debian package."""

LONGEST = 240
"""Characters of caps in an error."""

PARSE_MISSING = 1
"""GST_PARSE_ERROR_NO_SUCH_ELEMENT."""

MISSING = (("core", 12), ("stream", 6))
"""GST_CORE_ERROR_MISSING_PLUGIN and GST_STREAM_ERROR_CODEC_NOT_FOUND."""

BUSY, FORBIDDEN = ("resource", 4), ("resource", 15)
"""GST_RESOURCE_ERROR_BUSY and _NOT_AUTHORIZED."""


@lru_cache(maxsize=1)
def library() -> Any:
    """GStreamer's namespaces ``Gst``, ``GstVideo`` and ``GLib``, ready.

    Raises:
        MachineError: PyGObject or GStreamer's descriptions are not installed.
    """
    ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)  # ahead of GStreamer's libunwind, whose functions have the
    gi = require("gi", "", remedy=REMEDY)  # same names: with half of each, a C++ exception ends the process
    try:
        gi.require_version("Gst", "1.0")
        gi.require_version("GstVideo", "1.0")
    except ValueError as error:
        raise MachineError(f"GStreamer cannot be used from Python ({error})", remedy=REMEDY) from error
    parts = {name: import_module(f"gi.repository.{name}") for name in ("Gst", "GstVideo", "GLib")}
    parts["Gst"].init(None)
    return SimpleNamespace(**parts)


def parse(description: str, where: str) -> Any:
    """A pipeline, not yet started.

    Raises:
        MachineError: an element is not installed; names its package where that is known.
        RigError: anything else that is wrong with the description.
    """
    gst = library()
    context = gst.Gst.ParseContext.new()
    try:
        return gst.Gst.parse_launch_full(description, context, gst.Gst.ParseFlags.FATAL_ERRORS)
    except gst.GLib.Error as error:
        missing = context.get_missing_elements()
        if error.code == PARSE_MISSING and missing:
            raise MachineError(
                f"no GStreamer element {missing[0]!r}", where=where, remedy=_package(missing[0])
            ) from None
        remedy = "write what gst-launch-1.0 takes, up to but not including the sink"
        raise RigError(
            f"the pipeline is wrong: {without_passwords(error.message)}", where=where, remedy=remedy
        ) from None


def _package(element: str) -> str:
    found = next((package for start, package in PACKAGES if element.startswith(start)), "")
    return f"install {found}" if found else "install the plugin that has it, or correct its name"


def caps(settings: rig.Camera) -> Any:
    """What a rig asks for, as GstCaps in system memory."""
    width, height = settings.size_px
    text = f"video/x-raw,format={NAMES[settings.format]},width={width},height={height}"
    if settings.fps is not None:
        rate = Fraction(settings.fps).limit_denominator(1001)
        text += f",framerate={rate.numerator}/{rate.denominator}"
    return library().Gst.Caps.from_string(text)


def check_offer(offered: Any, settings: rig.Camera, where: str) -> None:
    """Compare what a pipeline can give with what the rig asks for.

    Raises:
        RigError: they have nothing in common; says what is offered.
    """
    wanted = caps(settings)
    if offered.can_intersect(wanted):
        return
    gst = library().Gst
    formats = {each: gst.Caps.from_string(f"video/x-raw,format={name}") for each, name in NAMES.items()}
    names = [each.value for each, one in formats.items() if offered.can_intersect(one)]
    if settings.format.value not in names:
        kinds = sorted({offered.get_structure(index).get_name() for index in range(offered.get_size())})
        offer = ", ".join(names or kinds) or "nothing"
        remedy = f"it offers {offer}; or end it with ! videoconvert, after a decoder where it is compressed"
        raise RigError(f"the pipeline does not give {settings.format.value}", where=where, remedy=remedy)
    offer = plain(offered.intersect(formats[settings.format]))
    raise RigError(
        f"the pipeline does not give {wanted.to_string()}",
        where=where,
        remedy=f"it offers {offer}; or end it with ! videoscale",
    )


def plain(given: Any) -> str:
    """Caps without their types, not too long."""
    text = re.sub(r"\((int|string|fraction)\)", "", given.to_string())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def is_nvmm(offered: Any) -> bool:
    """Whether all that a pipeline can give is in NVIDIA's own memory."""
    features = [offered.get_features(index) for index in range(offered.get_size())]
    return bool(features) and all(each is not None and each.contains("memory:NVMM") for each in features)


def failure(message: Any, where: str, *, running: bool) -> EdgeFusionError:
    """What an error message on the bus means.

    Args:
        message: of type ERROR.
        where: the setting that described the pipeline.
        running: whether frames had come before.
    """
    error, debug = message.parse_error()
    _, line, detail = (debug or "").partition("\n")  # the first says where in GStreamer's source
    said = f" ({detail})" if line else ""
    text = without_passwords(f"{message.src.get_name()}: {error.message.rstrip('.')}{said}")
    domain = error.domain.removeprefix("gst-").removesuffix("-error-quark")
    kind, remedy = _judge((domain, error.code), detail, running)
    return kind(text, where=where, remedy=remedy)


def _judge(error: tuple[str, int], detail: str, running: bool) -> tuple[type[EdgeFusionError], str]:
    """Class and remedy of an error, by its domain and code, and by what the system said."""
    if "not-negotiated" in detail and running:
        return InputError, "the pictures' size or format changed: open it again"
    if "not-negotiated" in detail:
        return RigError, "its parts do not agree on a format, size or rate: try it with gst-launch-1.0 -v"
    if error in MISSING:
        return MachineError, "install the plugin it names, such as gstreamer1.0-libav"
    if error == BUSY or os.strerror(errno.EBUSY) in detail:
        return MachineError, "end the program that uses it"
    if error == FORBIDDEN or os.strerror(errno.EACCES) in detail:
        return MachineError, "check its permissions: the user may have to be in the group video"
    if error[0] in ("core", "stream") and not running:
        return RigError, "try it with gst-launch-1.0 -v"
    return CameraLostError, ""


class _MapInfo(ctypes.Structure):
    """GstMapInfo; its layout is part of GStreamer 1's stable ABI."""

    _fields_ = (
        ("memory", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("maxsize", ctypes.c_size_t),
        ("user_data", ctypes.c_void_p * 4),
        ("reserved", ctypes.c_void_p * 4),
    )


@lru_cache(maxsize=1)
def _mapping() -> tuple[Any, Any]:
    """gst_buffer_map and gst_buffer_unmap. PyGObject's copies all bytes."""
    core = ctypes.CDLL("libgstreamer-1.0.so.0")
    info = ctypes.POINTER(_MapInfo)
    core.gst_buffer_map.argtypes = [ctypes.c_void_p, info, ctypes.c_int]
    core.gst_buffer_map.restype = ctypes.c_int
    core.gst_buffer_unmap.argtypes = [ctypes.c_void_p, info]
    core.gst_buffer_unmap.restype = None
    return core.gst_buffer_map, core.gst_buffer_unmap


class Mapped:
    """A buffer whose bytes can be read, not written, until ``unmap``; it is kept from its pool so long.

    Args:
        buffer: a GstBuffer. PyGObject's hash of it is its address.

    Raises:
        InputError: its memory cannot be read by the CPU.
    """

    def __init__(self, buffer: Any) -> None:
        self._buffer, self._info = buffer, _MapInfo()
        mapping, _ = _mapping()
        if not mapping(hash(buffer), ctypes.byref(self._info), int(library().Gst.MapFlags.READ)):
            raise InputError("a picture is in memory that cannot be read")
        view = (ctypes.c_uint8 * self._info.size).from_address(self._info.data)
        self.bytes: Bytes = np.ctypeslib.as_array(view)
        self.bytes.flags.writeable = False

    def unmap(self) -> None:
        """Give it back; ``bytes`` must not be read any more."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            _mapping()[1](hash(buffer), ctypes.byref(self._info))


@dataclass(frozen=True)
class Layout:
    """Where the planes of a picture are in its buffer.

    Attributes:
        format, size_px: of the picture.
        offsets, strides: of each plane, in bytes.
    """

    format: PixelFormat
    size_px: Size
    offsets: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def planes(self) -> tuple[tuple[int, int], ...]:
        """Rows, and bytes in a row, of each plane."""
        width, height = self.size_px
        if self.format is PixelFormat.NV12:
            return (height, width), (height // 2, width)
        return ((height, self.format.nbytes(width, 1)),)

    @property
    def size(self) -> int:
        """Bytes of a picture without padding."""
        return sum(rows * row for rows, row in self.planes)

    @property
    def packed(self) -> bool:
        """Whether the planes follow one another without padding."""
        at = self.offsets[0]
        for (rows, row), offset, stride in zip(self.planes, self.offsets, self.strides, strict=True):
            if (offset, stride) != (at, row):
                return False
            at += rows * row
        return True

    def view(self, data: Bytes) -> Any:
        """The picture as a frame's pixels, not copied; only where it is ``packed``."""
        return self.shaped(data[self.offsets[0] : self.offsets[0] + self.size])

    def copy(self, data: Bytes, into: Bytes) -> None:
        """Write the picture without its padding into ``into``, of ``size`` bytes."""
        at = 0
        for (rows, row), offset, stride in zip(self.planes, self.offsets, self.strides, strict=True):
            plane = np.lib.stride_tricks.as_strided(data[offset:], (rows, row), (stride, 1), writeable=False)
            into[at : at + rows * row].reshape(rows, row)[:] = plane
            at += rows * row

    def fits(self, length: int) -> bool:
        """Whether a buffer of ``length`` bytes holds all of it."""
        ends = (
            offset + (rows - 1) * stride + row
            for (rows, row), offset, stride in zip(self.planes, self.offsets, self.strides, strict=True)
        )
        return max(ends) <= length

    def shaped(self, data: Bytes) -> Any:
        """Bytes without padding as a frame's pixels."""
        return data.view(self.format.dtype).reshape(self.format.array_shape(*self.size_px))


def layout_of(buffer: Any, info: Any, settings: rig.Camera) -> Layout:
    """Where a buffer's planes are: as its own description says, else as its caps imply."""
    count = 2 if settings.format is PixelFormat.NV12 else 1
    meta = library().GstVideo.buffer_get_video_meta(buffer)
    source = info if meta is None else meta
    offsets, strides = tuple(source.offset[:count]), tuple(source.stride[:count])
    return Layout(settings.format, settings.size_px, offsets, strides)
