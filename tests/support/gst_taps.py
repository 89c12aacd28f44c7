"""Looking at, and marking, the buffers that pass an ``identity name=tap`` in a camera's pipeline."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from edgefusion.core.errors import MachineError
from runtime.capture import gst
from runtime.capture.gstreamer import GStreamerCamera

REFERENCES_AT, FLAGS_AT, CORRUPTED = 8, 16, 1 << 8
"""Where GstMiniObject has its count of references and its flags, and GST_BUFFER_FLAG_CORRUPTED."""


def _missing() -> str:
    try:
        library = gst.library().Gst
    except MachineError as error:
        return str(error)
    wanted = ("videotestsrc", "videoconvert", "jpegenc", "rtspsrc")
    missing = [name for name in wanted if library.ElementFactory.find(name) is None]
    return f"GStreamer lacks {', '.join(missing)}; run .ci/gstreamer" if missing else ""


MISSING = _missing()
needs_gstreamer = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def tap(camera: GStreamerCamera, see: Callable[[Any], None]) -> None:
    """Call ``see`` with each buffer from now on."""
    Gst = gst.library().Gst  # noqa: N806

    def probe(_pad: Any, info: Any) -> Any:
        see(info.get_buffer())
        return Gst.PadProbeReturn.OK

    camera.pipeline.get_by_name("tap").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, probe)


def mark_damaged(buffer: Any) -> None:
    """Set its flag, as a driver does; PyGObject has no way to."""
    ctypes.c_uint.from_address(hash(buffer) + FLAGS_AT).value |= CORRUPTED


def attach_time(buffer: Any, reference: str, moment_ns: int) -> None:
    """Attach a sender's time, as rtspsrc does. PyGObject's own reference to the buffer would forbid it."""
    attach = ctypes.CDLL("libgstreamer-1.0.so.0").gst_buffer_add_reference_timestamp_meta
    attach.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    attach.restype = ctypes.c_void_p
    caps = gst.library().Gst.Caps.from_string(reference)
    references = ctypes.c_int.from_address(hash(buffer) + REFERENCES_AT)
    held, references.value = references.value, 1
    attached = attach(hash(buffer), hash(caps), moment_ns, gst.NONE)
    references.value = held
    assert attached
