"""A ring's fused frames as a GStreamer source for other processes.

    edgefusion run --rig rig.toml                               # writes ring:front
    python3 gstreamer_shmsink.py front /tmp/front.sock          # in an environment with GStreamer and PyGObject
    gst-launch-1.0 shmsrc socket-path=/tmp/front.sock is-live=true do-timestamp=true \
        ! video/x-raw,format=RGB,width=640,height=480,framerate=30/1 ! videoconvert ! autovideosink

What follows ``appsrc`` may be any other pipeline: ``--pipeline "videoconvert ! x264enc tune=zerolatency ! ..."``.
GStreamer drops what it cannot take in time: nothing here holds up the ring.
"""

from __future__ import annotations

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402  # the version is chosen first

import edgefusion  # noqa: E402

QUEUE = 4
"""So many frames wait for GStreamer; then the oldest is dropped."""


class Feeder:
    """Pushes frames into a pipeline, which begins with the first one: only then is the size known."""

    def __init__(self, tail: str, fps: int) -> None:
        self._tail, self._fps = tail, fps
        self._size = (0, 0)
        self._pipeline: Gst.Pipeline | None = None

    def push(self, frame: edgefusion.RingFrame) -> None:
        """Copy one frame into GStreamer's memory; its time is the moment of exposure."""
        height, width, _ = frame.rgb.shape
        if (width, height) != self._size:
            self.close()
            self._begin(width, height)
        buffer = Gst.Buffer.new_wrapped(frame.rgb.tobytes())
        buffer.pts = max(0, frame.timestamp_ns - self._first_ns(frame))
        buffer.offset = frame.frame_id
        if self._source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
            raise SystemExit(self._problem() or "the pipeline takes no more frames")

    def close(self) -> None:
        """End the pipeline, if there is one."""
        if self._pipeline:
            self._source.emit("end-of-stream")
            self._pipeline.set_state(Gst.State.NULL)

    def _begin(self, width: int, height: int) -> None:
        if width % 4:
            raise SystemExit(f"rows of {width} RGB pixels would need padding; GStreamer wants multiples of 4 bytes")
        caps = f"video/x-raw,format=RGB,width={width},height={height},framerate={self._fps}/1"
        source = f"appsrc name=source is-live=true format=time leaky-type=downstream max-buffers={QUEUE} caps={caps}"
        self._pipeline = Gst.parse_launch(f"{source} ! {self._tail}")
        self._source = self._pipeline.get_by_name("source")
        self._size, self._zero_ns = (width, height), -1
        self._pipeline.set_state(Gst.State.PLAYING)

    def _first_ns(self, frame: edgefusion.RingFrame) -> int:
        if self._zero_ns < 0:
            self._zero_ns = frame.timestamp_ns
        return self._zero_ns

    def _problem(self) -> str:
        message = self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR) if self._pipeline else None
        return str(message.parse_error()[0]) if message else ""


def main() -> None:
    """Feed until Ctrl-C, or until the ring brings nothing for a minute."""
    parser = argparse.ArgumentParser(description="A ring's frames as a GStreamer source.")
    parser.add_argument("ring")
    parser.add_argument("socket", nargs="?", default="/tmp/edgefusion.sock")  # noqa: S108  # where shmsrc looks for it
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--pipeline", help="in place of shmsink")
    asked = parser.parse_args()
    Gst.init(None)
    tail = f"shmsink socket-path={asked.socket} wait-for-connection=false sync=false"
    feeder = Feeder(asked.pipeline or tail, asked.fps)
    try:
        with edgefusion.subscribe(asked.ring, timeout_s=60) as frames:
            for frame in frames:
                with frame:
                    feeder.push(frame)
    except KeyboardInterrupt:
        pass
    except (edgefusion.EdgeFusionError, GLib.Error) as error:
        sys.exit(f"gstreamer_shmsink: {error}")
    finally:
        feeder.close()


if __name__ == "__main__":
    main()
