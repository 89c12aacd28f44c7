"""Cameras in the network, over RTSP.

    device = "rtsp://user:password@host:554/path"
    device = "rtsp://host/path#transport=udp&timeout=2"

After ``#``: ``transport`` is tcp (the default) or udp; after ``timeout`` seconds without a picture, 0.2 to 60, the
camera is lost (5). It must be longer than the stream's key frame interval where the server does not begin with one.
Characters such as ``#`` or ``@`` in a password are percent-encoded. ``rtsps://`` is RTSP over TLS.

``format`` may be NV12 (what cameras send, its planes copied once), GREY or RGB24 (converted, so copied twice). Size and
rate are the stream's. RTP times do not say when a frame was exposed: a frame carries the moment it began to arrive, on
CLOCK_MONOTONIC, as clock ``receive``. Measure the camera's constant latency; it is ``time_offset_ns``.

FFmpeg takes a picture of H.264, H.265 or MPEG-4 as complete when the next one begins, so frames come one frame time
later than they could. A pipeline, ``gstreamer:rtspsrc latency=0 ...``, does not wait for that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter
from pydantic import Field

from edgefusion.core import rig
from edgefusion.core.errors import EdgeFusionError, InputError, RigError
from edgefusion.core.frames import Form, Frame, PixelFormat
from edgefusion.core.geometry import Size
from edgefusion.recordings.pairing import Side
from runtime.capture.base import CameraLostError, without_passwords
from runtime.capture.options import Options, parse_options

Plane = npt.NDArray[np.uint8]

LAYOUTS = {PixelFormat.NV12: "nv12", PixelFormat.GREY: "gray", PixelFormat.RGB24: "rgb24"}
"""What can be asked of a stream, by FFmpeg's names."""

LIMITED, FULL = 1, 2
"""FFmpeg's AVCOL_RANGE_MPEG, luma from 16 to 235, and AVCOL_RANGE_JPEG, from 0 to 255."""

PROBING = {"probesize": "32", "analyzeduration": "1", "fpsprobesize": "0"}
"""Decode from the first packet on: FFmpeg would hold some frames back to guess a rate and a size."""

PARSED = ("h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "h263")
"""Codecs whose pictures FFmpeg cuts out of the stream: each comes out when the next one begins."""

NO_ANSWER = "no answer in time"

LEAVE_S = 0.25
"""``close`` waits so long for the decoding thread; one that is stuck in a silent connection ends at its timeout."""


class RtspOptions(Options):
    """What may follow the URL."""

    transport: Literal["tcp", "udp"] = Field("tcp", description="one of tcp, udp")
    timeout: float = Field(5.0, ge=0.2, le=60, description="0.2 to 60 seconds")


@dataclass(frozen=True)
class Source:
    """Where a stream comes from.

    Attributes:
        url: with the password, for FFmpeg only.
        shown: without it, for people.
        transport: tcp or udp.
        timeout_s: without a picture, the camera is lost.
    """

    url: str = field(repr=False)
    shown: str
    transport: str
    timeout_s: float


def parse_source(device: str, side: Side) -> Source:
    """The parts of a ``device``.

    Raises:
        RigError: no host, or an option that is unknown or out of range.
    """
    where = f"{side}.device"
    parts = urlsplit(device)
    if not parts.hostname:
        raise RigError("the URL names no host", where=where, remedy="write rtsp://host/path; see docs/rig.md")
    options = parse_options(parts.fragment, RtspOptions, where=where, separator="&")
    bare = urlunsplit(parts._replace(fragment=""))
    login = str(parts.username) if parts.password is None else f"{parts.username}:***"
    return Source(bare, without_passwords(bare, login=login), options.transport, options.timeout)


class RtspCamera:
    """One camera in the network, decoded by FFmpeg in a thread of its own; see ``runtime.capture.base.Camera``.

    Args:
        address: the URL, with options after ``#``.
        settings: format and buffers count; the size and the rate are the stream's.
        side: which camera of the rig it is.

    Raises:
        RigError: the URL, an option or the format is none that this kind knows.
    """

    def __init__(self, address: str, settings: rig.Camera, side: Side) -> None:
        self._source = parse_source(address, side)
        self._settings = settings
        if settings.format not in LAYOUTS:
            names = ", ".join(each.value for each in LAYOUTS)
            raise RigError(f"{settings.format.value} is not offered", where=f"{side}.format", remedy=f"one of {names}")
        if settings.controls:
            raise RigError("RTSP has no controls", where=f"{side}.controls", remedy="set them on the camera's own page")
        self.facts: dict[str, Any] = {"kind": "rtsp", "address": self._source.shown, "memory": "copy"}
        self._receiver: _Receiver | None = None

    def open(self) -> Form:
        """Connect, and wait for the first picture.

        Raises:
            CameraLostError: it does not answer, refuses, or sends no picture in time.
            RigError: the user or the password is wrong, there is no video, or the format cannot be made of it.
        """
        self.close()
        container = _connect(self._source)
        self._receiver = _Receiver(container, self._source, self._settings, self.facts)
        try:
            return self._settings.format, self._receiver.first_size()
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        """The oldest picture that waits; older ones than the buffers hold were dropped, as ``sequence`` shows.

        Raises:
            CameraLostError: the connection ended or went silent, or it is not open.
            InputError: a damaged picture, or one of another size, after which it must be opened again.
        """
        if self._receiver is None:
            raise CameraLostError("it is not open", where=self._source.shown)
        return self._receiver.read(timeout_s)

    def close(self) -> None:
        """Disconnect. Frames not yet released stay readable."""
        if self._receiver is not None:
            self._receiver.stop()
            self._receiver = None


def _connect(source: Source) -> Any:
    """An open container that has video.

    Errors of FFmpeg quote the URL with its password, so they are not chained.
    """
    options = {"rtsp_transport": source.transport, "flags": "low_delay", **PROBING}
    start_s = time.monotonic()
    try:
        container = av.open(source.url, options=options, timeout=source.timeout_s)
    except (av.HTTPUnauthorizedError, av.HTTPForbiddenError):
        raise RigError("the camera refuses this user or password", where=source.shown) from None
    except av.FFmpegError as error:
        late = time.monotonic() - start_s >= source.timeout_s  # FFmpeg gives an interrupted answer many names
        reason = NO_ANSWER if late else str(error.strerror)
        remedy = "check its address, cable and power; #transport= may have to be the other one"
        raise CameraLostError(f"cannot connect ({reason})", where=source.shown, remedy=remedy) from None
    if not container.streams.video:
        container.close()
        raise RigError("the stream has no video", where=source.shown, remedy="check the path of the URL")
    return container


class _Receiver:
    """A thread that decodes into buffers; the oldest picture gives its buffer up when none is free."""

    def __init__(self, container: Any, source: Source, settings: rig.Camera, facts: dict[str, Any]) -> None:
        self._container, self._source = container, source
        self._format, self._count, self._facts = settings.format, settings.buffers, facts
        self._reformatter = VideoReformatter()  # keeps its context: a frame's own would make one for every frame
        self._changed = threading.Condition()
        self._ready: deque[Frame | InputError] = deque()
        self._free: list[Plane] = []
        self._size: Size | None = None
        self._error: EdgeFusionError | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="rtsp", daemon=True)
        self._thread.start()

    def first_size(self) -> Size:
        with self._changed:
            self._changed.wait_for(lambda: self._size or self._error, self._source.timeout_s)
            if self._error is not None:
                raise self._error
            if self._size is None:
                raise self._lost(f"no picture in {self._source.timeout_s:g} s")
            return self._size

    def read(self, timeout_s: float) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._error, timeout_s)
            if self._ready:
                item = self._ready.popleft()
                if isinstance(item, InputError):
                    raise item
                return item
            if self._error is not None:
                raise self._error
            return None

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        try:
            error = self._outcome()
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            self._container.close()  # here: FFmpeg must not be reading while it is closed

    def _outcome(self) -> EdgeFusionError:
        """Receive, and say why that ended."""
        try:
            self._receive()
        except EdgeFusionError as problem:
            return problem
        except av.ExitError:
            return self._lost(NO_ANSWER)
        except av.FFmpegError as problem:
            return self._lost(str(problem.strerror))
        except Exception as problem:  # whoever reads must learn of it, whatever it is
            return self._lost(f"its pictures cannot be decoded: {problem!r}")
        return self._lost("the stream ended")

    def _receive(self) -> None:
        """Until the stream ends. A picture that builds on a damaged one is damaged, up to the next key frame."""
        damaged = False
        for sequence, (frame, received_ns) in enumerate(self._decoded()):
            damaged = frame is None or frame.is_corrupt or (damaged and not frame.key_frame)
            if damaged:
                self._put(InputError(f"picture {sequence} is damaged", where=self._source.shown))
            else:
                self._take(frame, sequence, received_ns)

    def _decoded(self) -> Iterator[tuple[Any, int]]:
        """Pictures, None for one that cannot be decoded, and when each arrived."""
        stream = self._container.streams.video[0]
        stream.thread_type = "SLICE"  # decoding frames in parallel would hold them back
        heard_s = time.monotonic()
        for packet, arrived_ns in self._packets(stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                frames = [None]
            if frames:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > self._source.timeout_s:
                raise self._lost(f"no picture in {self._source.timeout_s:g} s")
            yield from ((frame, arrived_ns) for frame in frames)

    def _packets(self, stream: Any) -> Iterator[tuple[Any, int]]:
        """Packets, and when each arrived: its first part where it comes out with the next one, else its last."""
        parsed = stream.codec_context.name in PARSED
        before_ns = time.monotonic_ns()
        for packet in self._container.demux(stream):
            now_ns = time.monotonic_ns()
            if self._stopping:
                return
            yield packet, before_ns if parsed else now_ns
            if now_ns - before_ns >= self._source.timeout_s * 1e9:
                raise self._lost(NO_ANSWER)  # that was only what FFmpeg still held
            before_ns = now_ns

    def _take(self, frame: Any, sequence: int, received_ns: int) -> None:
        size = (int(frame.width), int(frame.height))
        if self._size is None:
            self._begin(frame, size)
        elif size != self._size:
            text = f"pictures of {size[0]}x{size[1]} instead of {self._size[0]}x{self._size[1]}"
            raise InputError(text, where=self._source.shown, remedy="open it again")
        pixels = self._buffer()
        if pixels is not None:
            _fill(pixels, frame, self._format, self._reformatter)
            release = partial(self._give, pixels)
            self._put(Frame(pixels, self._format, received_ns, "receive", sequence, release))

    def _begin(self, frame: Any, size: Size) -> None:
        if not self._format.fits(*size):
            raise RigError(f"NV12 of {size[0]}x{size[1]}, an odd size", where=self._source.shown, remedy="use RGB24")
        shape = self._format.array_shape(*size)
        with self._changed:
            self._free = [np.empty(shape, np.uint8) for _ in range(self._count)]
            self._facts.update(
                driver=self._container.streams.video[0].codec_context.name,
                transport=self._source.transport,
                stream=frame.format.name,
                copies=1 if _same_layout(frame, self._format) else 2,
                dropped=0,
            )
            self._size = size
            self._changed.notify_all()

    def _buffer(self) -> Plane | None:
        """A free buffer, else that of the oldest waiting picture; None while all are in use."""
        with self._changed:
            if self._free:
                return self._free.pop()
            self._facts["dropped"] += 1
            waiting = next((item for item in self._ready if isinstance(item, Frame)), None)
            if waiting is None:
                return None
            self._ready.remove(waiting)
            return waiting.pixels  # type: ignore[return-value] # all are uint8

    def _give(self, pixels: Plane) -> None:
        with self._changed:
            self._free.append(pixels)

    def _put(self, item: Frame | InputError) -> None:
        with self._changed:
            self._ready.append(item)
            while len(self._ready) > self._count:
                oldest = self._ready.popleft()
                if isinstance(oldest, Frame):
                    oldest.release()
            self._changed.notify_all()

    def _lost(self, why: str) -> CameraLostError:
        return CameraLostError(f"the camera is gone ({why})", where=self._source.shown)


def _same_layout(frame: Any, wanted: PixelFormat) -> bool:
    """Whether planes can be copied as they are: 4:2:0 of limited range is NV12 but for the order of its chroma."""
    return wanted is PixelFormat.NV12 and frame.format.name in ("yuv420p", "nv12") and frame.color_range != FULL


def _converted(frame: Any, wanted: PixelFormat, reformatter: VideoReformatter) -> Any:
    """The picture in the wanted layout and range: NV12 is limited, the others are full."""
    given = FULL if frame.format.name.startswith("yuvj") else int(frame.color_range)
    range_wanted = LIMITED if wanted is PixelFormat.NV12 else FULL
    return reformatter.reformat(frame, format=LAYOUTS[wanted], src_color_range=given, dst_color_range=range_wanted)


def _fill(pixels: Plane, frame: Any, wanted: PixelFormat, reformatter: VideoReformatter) -> None:
    """Write a decoded picture into a buffer."""
    if not _same_layout(frame, wanted):
        frame = _converted(frame, wanted, reformatter)
    height, width = frame.height, frame.width
    if wanted is not PixelFormat.NV12:
        pixels.reshape(height, -1)[:] = _plane(frame, 0, pixels.size // height)
        return
    pixels[:height] = _plane(frame, 0, width)
    if frame.format.name == "nv12":
        pixels[height:] = _plane(frame, 1, width)
    else:
        pixels[height:, 0::2] = _plane(frame, 1, width // 2)
        pixels[height:, 1::2] = _plane(frame, 2, width // 2)


def _plane(frame: Any, index: int, row_bytes: int) -> Plane:
    """A plane without its padding, [rows, bytes], not copied."""
    plane = frame.planes[index]
    rows: Plane = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, :row_bytes]
