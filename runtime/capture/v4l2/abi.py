"""The part of ``linux/videodev2.h`` that is used here, as a 64-bit kernel lays it out (x86-64 and aarch64 alike).

``tests/runtime/capture/v4l2/test_abi.py`` compares every size, offset and number with the C header's. Sources: the
Linux media user-space API (docs.kernel.org/userspace-api/media/v4l), linux/dma-buf.h, dma-heap.h and udmabuf.h.
"""

from __future__ import annotations

from ctypes import Structure, Union, c_char, c_int32, c_long, c_uint8, c_uint32, c_uint64, c_ulong, sizeof
from enum import IntEnum
from typing import Any

ANY_DIRECTION, WRITE, READ = 3, 1, 2


def request_number(direction: int, kind: str, number: int, argument: Any) -> int:
    """The number of a request; the header's ``_IOC``."""
    return direction << 30 | sizeof(argument) << 16 | ord(kind) << 8 | number


class Capability(Structure):
    """What a device is."""

    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


VIDEO_CAPTURE, VIDEO_OUTPUT, VIDEO_CAPTURE_MPLANE = 0x1, 0x2, 0x1000
READWRITE, STREAMING, DEVICE_CAPS = 0x01000000, 0x04000000, 0x80000000
"""Bits of ``Capability.capabilities``."""

CAPTURE, OUTPUT = 1, 2
"""Buffer types."""


class Memory(IntEnum):
    """Whose memory a buffer is."""

    MMAP = 1
    USERPTR = 2
    DMABUF = 4


class FormatDescription(Structure):
    """One format that a device offers."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class PixFormat(Structure):
    """The single-planar part of a format."""

    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("priv", c_uint32),
        ("flags", c_uint32),
        ("ycbcr_enc", c_uint32),
        ("quantization", c_uint32),
        ("xfer_func", c_uint32),
    )


class _FormatUnion(Union):
    _fields_ = (("pix", PixFormat), ("raw_data", c_uint8 * 200), ("_pointer", c_ulong))


class Format(Structure):
    """Size and layout of the images."""

    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


FIELD_NONE = 1


class _Width(Structure):
    _fields_ = (("width", c_uint32), ("height", c_uint32))


class _Range(Structure):
    _fields_ = (
        ("min_width", c_uint32),
        ("max_width", c_uint32),
        ("step_width", c_uint32),
        ("min_height", c_uint32),
        ("max_height", c_uint32),
        ("step_height", c_uint32),
    )


class _SizeUnion(Union):
    _fields_ = (("discrete", _Width), ("stepwise", _Range))


class FrameSize(Structure):
    """One size, or a range of sizes, of a format."""

    _anonymous_ = ("size",)
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("size", _SizeUnion),
        ("reserved", c_uint32 * 2),
    )


class Fraction(Structure):
    """Seconds, usually."""

    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class _IntervalRange(Structure):
    _fields_ = (("min", Fraction), ("max", Fraction), ("step", Fraction))


class _IntervalUnion(Union):
    _fields_ = (("discrete", Fraction), ("stepwise", _IntervalRange))


class FrameInterval(Structure):
    """One interval, or a range of intervals, of a format and size."""

    _anonymous_ = ("interval",)
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("interval", _IntervalUnion),
        ("reserved", c_uint32 * 2),
    )


DISCRETE = 1
"""``type`` of a ``FrameSize`` or ``FrameInterval`` that is not a range."""


class _CaptureParameters(Structure):
    _fields_ = (
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("timeperframe", Fraction),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class _ParametersUnion(Union):
    _fields_ = (("capture", _CaptureParameters), ("raw_data", c_uint8 * 200))


class StreamParameters(Structure):
    """The rate."""

    _fields_ = (("type", c_uint32), ("parm", _ParametersUnion))


TIME_PER_FRAME = 0x1000
"""Bit of ``capability``: the rate can be set."""


class RequestBuffers(Structure):
    """Asks for buffers; 0 of them gives all back."""

    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    )


class _Time(Structure):
    _fields_ = (("tv_sec", c_long), ("tv_usec", c_long))


class _Timecode(Structure):
    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("frames", c_uint8),
        ("seconds", c_uint8),
        ("minutes", c_uint8),
        ("hours", c_uint8),
        ("userbits", c_uint8 * 4),
    )


class _Place(Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_ulong), ("fd", c_int32))


class Buffer(Structure):
    """One buffer, and the frame in it."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", _Time),
        ("timecode", _Timecode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _Place),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
    )


FLAG_ERROR, FLAG_TIMESTAMP_MASK, FLAG_MONOTONIC = 0x40, 0xE000, 0x2000
FLAG_SOURCE_MASK, FLAG_START_OF_EXPOSURE = 0x70000, 0x10000
"""Of ``Buffer.flags``."""


class ExportBuffer(Structure):
    """Makes a DMABUF of a buffer."""

    _fields_ = (
        ("type", c_uint32),
        ("index", c_uint32),
        ("plane", c_uint32),
        ("flags", c_uint32),
        ("fd", c_int32),
        ("reserved", c_uint32 * 11),
    )


class Event(Structure):
    """Something that happened at the device."""

    _fields_ = (
        ("type", c_uint32),
        ("data", c_uint64 * 8),
        ("pending", c_uint32),
        ("sequence", c_uint32),
        ("timestamp", c_long * 2),
        ("id", c_uint32),
        ("reserved", c_uint32 * 8),
    )


class EventSubscription(Structure):
    """Asks to be told of a kind of event."""

    _fields_ = (("type", c_uint32), ("id", c_uint32), ("flags", c_uint32), ("reserved", c_uint32 * 5))


SOURCE_CHANGE = 5
"""Type of event: size or timing of what comes in is another."""


class DmaHeapAllocation(Structure):
    """Asks a DMA heap for a buffer."""

    _fields_ = (("len", c_uint64), ("fd", c_uint32), ("fd_flags", c_uint32), ("heap_flags", c_uint64))


class UdmabufCreate(Structure):
    """Makes a DMABUF of a memfd."""

    _fields_ = (("memfd", c_uint32), ("flags", c_uint32), ("offset", c_uint64), ("size", c_uint64))


class DmabufSync(Structure):
    """Says that the CPU begins or ends to touch a DMABUF."""

    _fields_ = (("flags", c_uint64),)


SYNC_START_READ, SYNC_END_READ = 1, 1 | 4
CLOSE_ON_EXEC = 1
"""Flag of ``UdmabufCreate``."""

QUERYCAP = request_number(READ, "V", 0, Capability)
ENUM_FMT = request_number(ANY_DIRECTION, "V", 2, FormatDescription)
S_FMT = request_number(ANY_DIRECTION, "V", 5, Format)
REQBUFS = request_number(ANY_DIRECTION, "V", 8, RequestBuffers)
QUERYBUF = request_number(ANY_DIRECTION, "V", 9, Buffer)
QBUF = request_number(ANY_DIRECTION, "V", 15, Buffer)
EXPBUF = request_number(ANY_DIRECTION, "V", 16, ExportBuffer)
DQBUF = request_number(ANY_DIRECTION, "V", 17, Buffer)
STREAMON = request_number(WRITE, "V", 18, c_int32)
STREAMOFF = request_number(WRITE, "V", 19, c_int32)
G_PARM = request_number(ANY_DIRECTION, "V", 21, StreamParameters)
S_PARM = request_number(ANY_DIRECTION, "V", 22, StreamParameters)
ENUM_FRAMESIZES = request_number(ANY_DIRECTION, "V", 74, FrameSize)
ENUM_FRAMEINTERVALS = request_number(ANY_DIRECTION, "V", 75, FrameInterval)
DQEVENT = request_number(READ, "V", 89, Event)
SUBSCRIBE_EVENT = request_number(WRITE, "V", 90, EventSubscription)
DMA_HEAP_ALLOC = request_number(ANY_DIRECTION, "H", 0, DmaHeapAllocation)
UDMABUF_CREATE = request_number(WRITE, "u", 0x42, UdmabufCreate)
DMA_BUF_SYNC = request_number(WRITE, "b", 0, DmabufSync)
