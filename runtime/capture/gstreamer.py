"""Cameras behind a GStreamer pipeline.

    device = "gstreamer:v4l2src device=/dev/video0"
    device = "gstreamer:nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1920,height=1080"
    device = "gstreamer:filesrc location=drive.jpg ! jpegdec ! videoconvert"

What gst-launch-1.0 takes, up to but not including the sink: an appsink follows, which asks for the rig's ``format``,
``size_px`` and ``fps``. Nothing is converted on the way; end it with ``! videoconvert ! videoscale`` for that. Frames
are the pipeline's own buffers, not copied, unless their rows are padded or ``memory`` is "copy". What ends in
``memory:NVMM`` goes through nvvidconv into system memory, which is one copy. Y16 of ``byte_order`` "big" is asked for
as GRAY16_LE, which is what a camera says that swaps the bytes; what the pipeline itself calls GRAY16_BE is Y16_BE.

A frame's time is its buffer's: the pipeline runs on CLOCK_MONOTONIC, and a live source says when it took the picture
(``monotonic``). Where the source passes on a sender's own Unix or NTP time, as rtspsrc does with
``add-reference-timestamp-meta=true``, it is that (``realtime``). Without either it is when the frame came
(``receive``). Of rtspsrc alone, the buffer's time is that of its arrival, smoothed. A source that is not live, such as
a file, is played at its own rate, and ends.

PyGObject and GStreamer are not installed by edgefusion: on Debian, Ubuntu and JetPack they are ``python3-gi``,
``gir1.2-gst-plugins-base-1.0`` and ``gstreamer1.0-plugins-base``, -good and so on.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from edgefusion.core import rig
from edgefusion.core.errors import EdgeFusionError, InputError, RigError
from edgefusion.core.frames import Clock, Form, Frame, PixelFormat
from edgefusion.recordings.pairing import Side
from runtime.capture import gst
from runtime.capture.base import SPARE, CameraLostError, StreamEndError

SINK = "edgefusion_sink"

OPEN_S = 10.0
"""A pipeline that has no picture after so long is not there; Argus takes 3 s."""

SLICE_S = 0.05
"""A waiting ``read`` looks so often whether the pipeline has failed."""

REPORT_S = 1.0
"""An element that fails may say why only so long after its pipeline failed."""

UNIX_OF_NTP_NS = 2_208_988_800 * 10**9
"""From 1900 to 1970."""

FULL_RANGE = "1:"
"""How a colorimetry of luma from 0 to 255 begins."""


class GStreamerCamera:
    """A camera that a pipeline describes; see ``runtime.capture.base.Camera``.

    Args:
        address: the pipeline, without a sink.
        settings: format, size, rate and ``buffers``, of which the sink queues all but ``SPARE``.
        side: which camera of the rig it is.

    Attributes:
        pipeline: the GstPipeline while it is open, to reach its elements by name.

    Raises:
        RigError: controls are given, which belong into the pipeline.
    """

    def __init__(self, address: str, settings: rig.Camera, side: Side) -> None:
        self._description, self._settings = address, settings
        self._where = f"{side}.device"
        if settings.controls:
            raise RigError("a pipeline has no controls", where=f"{side}.controls", remedy="set properties in it")
        self.facts: dict[str, Any] = {"kind": "gstreamer"}
        self.pipeline: Any = None
        self._sink: Any = None
        self._reset()

    def _reset(self) -> None:
        self._first: Any = None
        self._caps: Any = None
        self._info: Any = None
        self._numbered: bool | None = None
        self._sequence = 0
        self._spare: list[gst.Bytes] = []

    def open(self) -> Form:
        """Start the pipeline and wait for its first picture.

        Raises:
            MachineError: PyGObject, GStreamer or an element is not installed; the device is busy or not permitted.
            RigError: the pipeline cannot be parsed, or does not give what the rig asks for.
            CameraLostError: the device is not there, or no picture comes.
            StreamEndError: it ended without a picture.
        """
        self.close()
        try:
            self._start()
            self._first = self._pull(OPEN_S)
            if self._first is None:
                raise self._silent()
            self._describe(self._first)
        except BaseException:
            self.close()
            raise
        return self._settings.delivered, self._settings.size_px

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture, in the pipeline's own buffer where that is possible.

        Raises:
            CameraLostError: the pipeline failed, or it is live and ended, or it is not open.
            StreamEndError: it came to its end.
            InputError: a damaged picture, or the pictures changed their size or format.
        """
        if self.pipeline is None:
            raise CameraLostError("it is not open", where=self._where)
        sample, self._first = self._first, None
        if sample is None:
            sample = self._pull(timeout_s)
        return None if sample is None else self._frame(sample)

    def close(self) -> None:
        """Stop the pipeline. Frames not yet released stay readable."""
        pipeline, self.pipeline, self._sink = self.pipeline, None, None
        self._reset()
        if pipeline is not None:
            pipeline.set_state(gst.library().Gst.State.NULL)

    def _start(self) -> None:
        """Up to PLAYING."""
        state = gst.library().Gst.State
        offered = self._build(self._description)
        nvmm = offered is not None and gst.is_nvmm(offered)
        if nvmm:
            self.pipeline.set_state(state.NULL)
            offered = self._build(f"{self._description} ! nvvidconv")
        if offered is not None:
            gst.check_offer(offered, self._settings, self._where)
        self.facts["nvmm"] = nvmm
        self._sink.set_property("caps", gst.caps(self._settings))
        live = self._reach(state.PAUSED) == gst.library().Gst.StateChangeReturn.NO_PREROLL
        self._sink.set_property("sync", not live)
        self.facts["live"] = live
        self._reach(state.PLAYING)

    def _build(self, description: str) -> Any:
        """Make a pipeline and open its devices (READY).

        Returns:
            What it can give, as caps; None while its end is not linked yet, as after decodebin.
        """
        library = gst.library().Gst
        self.pipeline = gst.parse(f"{description} ! appsink name={SINK}", self._where)
        self.pipeline.use_clock(library.SystemClock.obtain())  # CLOCK_MONOTONIC, not a sound card's
        self._sink = self.pipeline.get_by_name(SINK)
        self._sink.set_property("drop", True)
        self._sink.set_property("max-buffers", self._settings.buffers - SPARE)
        self._reach(library.State.READY)
        pad = self._sink.get_static_pad("sink")
        return None if pad.get_peer() is None else pad.peer_query_caps(None)

    def _reach(self, state: Any) -> Any:
        """Change state; returns how that went."""
        library = gst.library().Gst
        result = self.pipeline.set_state(state)
        if result == library.StateChangeReturn.ASYNC and state == library.State.PAUSED:
            result = self.pipeline.get_state(round(OPEN_S * 1e9))[0]
        if result == library.StateChangeReturn.FAILURE:
            raise self._failure(REPORT_S) or CameraLostError("the pipeline does not start", where=self._where)
        if result == library.StateChangeReturn.ASYNC and state == library.State.PAUSED:
            raise self._failure() or self._silent()
        return result

    def _silent(self) -> CameraLostError:
        return CameraLostError(f"the pipeline gave no picture in {OPEN_S:g} s", where=self._where)

    def _failure(self, timeout_s: float = 0.0) -> EdgeFusionError | None:
        """The first error that the pipeline reported, or reports in time."""
        kind = gst.library().Gst.MessageType.ERROR
        message = self.pipeline.get_bus().timed_pop_filtered(round(timeout_s * 1e9), kind)
        return None if message is None else gst.failure(message, self._where, running=self._caps is not None)

    def _pull(self, timeout_s: float) -> Any:
        """The next sample, None if there is none in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            sample = self._sink.emit("try-pull-sample", round(min(left_s, SLICE_S) * 1e9))
            if sample is not None:
                return sample
            if (error := self._failure()) is not None:
                raise error
            if self._sink.get_property("eos"):
                kind = CameraLostError if self.facts["live"] else StreamEndError
                raise kind("the pipeline came to its end", where=self._where)
            if left_s <= 0:
                return None

    def _describe(self, sample: Any) -> None:
        """Facts that the first picture shows."""
        buffer = sample.get_buffer()
        self._learn(sample.get_caps())
        copied = self._copied(gst.layout_of(buffer, self._info, self._settings))
        self.facts.update(
            memory="copy" if copied else "mapped",
            copies=int(copied) + int(self.facts["nvmm"]),
            caps=gst.plain(self._caps),
            driver=next(self._elements()),
        )

    def _elements(self) -> Any:
        """Names of the pipeline's kinds of elements, a source first."""
        iterator = self.pipeline.iterate_sources()
        while (found := iterator.next())[0] == gst.library().Gst.IteratorResult.OK:
            yield found[1].get_factory().get_name()
        yield "unknown"

    def _learn(self, caps: Any) -> None:
        """Note what pictures are from now on."""
        if self._caps is not None and caps.is_equal(self._caps):
            return
        self._caps, self._info = caps, gst.library().GstVideo.VideoInfo.new_from_caps(caps)
        colours = caps.get_structure(0).get_string("colorimetry") or ""
        yuv = self._settings.format in (PixelFormat.NV12, PixelFormat.YUYV, PixelFormat.UYVY)
        if yuv and colours.startswith(FULL_RANGE):
            remedy = "end it with ! videoconvert ! video/x-raw,colorimetry=bt601"
            raise RigError("the pipeline gives luma of full range", where=self._where, remedy=remedy)

    def _copied(self, layout: gst.Layout) -> bool:
        return self._settings.memory == "copy" or not layout.packed

    def _frame(self, sample: Any) -> Frame:
        buffer = sample.get_buffer()
        self._learn(sample.get_caps())
        sequence = self._number(buffer)
        if buffer.has_flags(gst.library().Gst.BufferFlags.CORRUPTED):
            raise InputError(f"picture {sequence} is damaged", where=self._where)
        moment, clock = self._moment(sample, buffer)
        layout = gst.layout_of(buffer, self._info, self._settings)
        mapped = gst.Mapped(buffer)
        if not layout.fits(len(mapped.bytes)):
            mapped.unmap()
            raise InputError(f"picture {sequence} is incomplete", where=self._where)
        if not self._copied(layout):
            pixels = layout.view(mapped.bytes)
            return Frame(pixels, self._settings.delivered, moment, clock, sequence, mapped.unmap)
        memory = self._spare.pop() if self._spare else np.empty(layout.size, np.uint8)
        layout.copy(mapped.bytes, memory)
        mapped.unmap()
        release = partial(self._spare.append, memory)
        return Frame(layout.shaped(memory), self._settings.delivered, moment, clock, sequence, release)

    def _number(self, buffer: Any) -> int:
        """The source's own count where buffers have one, as of V4L2; else that of the pictures that came."""
        if self._numbered is None:
            self._numbered = buffer.offset != gst.NONE and buffer.offset_end == buffer.offset + 1
        self._sequence += 1
        return int(buffer.offset) if self._numbered else self._sequence - 1

    def _moment(self, sample: Any, buffer: Any) -> tuple[int, Clock]:
        """When it was taken, as far as it is known, and on which clock."""
        if (sent_ns := _sender_time(buffer)) is not None:
            return sent_ns, "realtime"
        library = gst.library().Gst
        if buffer.pts != gst.NONE:
            running_ns = sample.get_segment().to_running_time(library.Format.TIME, buffer.pts)
            if running_ns != gst.NONE:
                return int(self.pipeline.get_base_time() + running_ns), "monotonic"
        return time.monotonic_ns(), "receive"


def _sender_time(buffer: Any) -> int | None:
    """The wall-clock time that a source attached, since 1970."""
    meta = buffer.get_reference_timestamp_meta(None)
    if meta is None:
        return None
    name = meta.reference.get_structure(0).get_name()
    if name == "timestamp/x-unix":
        return int(meta.timestamp)
    return int(meta.timestamp) - UNIX_OF_NTP_NS if name == "timestamp/x-ntp" else None
