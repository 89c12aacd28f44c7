"""A live view in a browser: the fused image, both inputs and how late they are, by Rerun."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgefusion.core.errors import MachineError, RunError, UsageError
from edgefusion.core.frames import Frame, FramePair, FusedInfo
from edgefusion.core.optional import require
from runtime.sinks import Rgb
from runtime.sinks.facts import flag_names
from runtime.sinks.pictures import encode, look
from runtime.sinks.rerun_server import RerunServer

HOST, PORT = "127.0.0.1", 9090
SAVE = "save:"


class RerunSink:
    """Shows frames in a viewer, or saves them for one.

    Args:
        address: HOST:PORT of the page, 127.0.0.1:9090 where empty; or save:FILE.rrd.

    Attributes:
        url: of the page, or the file.

    Raises:
        UsageError: no such address.
        MachineError: rerun-sdk is not installed, a port is taken, or the file cannot be written.
    """

    wants_inputs = True

    def __init__(self, address: str = "") -> None:
        self._rerun: Any = require("rerun", "view")
        self._server: RerunServer | None = None
        self._stream = self._rerun.RecordingStream("edgefusion")
        if address.startswith(SAVE):
            self.url = _file(address[len(SAVE) :])
            self._stream.save(self.url)
        else:
            self._server = RerunServer(*_place(address))
            self.url = self._server.url
            self._stream.connect_grpc(self._server.grpc_url)
        self._stream.send_blueprint(_layout())

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Show a frame.

        Raises:
            RunError: the server has ended.
        """
        if self._server and not self._server.alive:
            raise RunError("Rerun's server has ended", where=self.url)
        stream, rerun = self._stream, self._rerun
        stream.set_time("frame", sequence=info.frame_id)
        stream.set_time("exposure", duration=np.timedelta64(info.timestamp_ns, "ns"))
        stream.log("fused", self._picture(encode(rgb, "jpeg")))
        if inputs:
            self._show("visible", inputs.visible)
            self._show("thermal", inputs.thermal)
        stream.log("times/thermal_age_ms", rerun.Scalars(info.thermal_age_ns / 1e6))
        if info.clock == "monotonic":
            stream.log("times/exposure_to_view_ms", rerun.Scalars((time.monotonic_ns() - info.timestamp_ns) / 1e6))
        if info.flags:
            stream.log("flags", rerun.TextLog(", ".join(flag_names(info.flags))))

    def close(self) -> None:
        """Send what waits and end the view."""
        self._stream.disconnect()
        if self._server:
            self._server.close()
            self._server = None

    def abandon(self) -> None:
        """The same: a view has nothing unfinished."""
        self.close()

    def _show(self, name: str, frame: Frame) -> None:
        self._stream.log(name, self._picture(look(frame)))

    def _picture(self, data: bytes) -> Any:
        return self._rerun.EncodedImage(contents=data, media_type="image/jpeg")


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
    if not (port or "0").isdecimal():
        raise UsageError(f"{address!r} is no place for a view", remedy="give HOST:PORT, as 127.0.0.1:9090")
    return host or HOST, int(port or PORT)


def _file(name: str) -> str:
    path = Path(name)
    if path.suffix != ".rrd":
        raise UsageError("a saved view is a file of Rerun's", where=name, remedy="end its name in .rrd")
    try:
        path.open("wb").close()
    except OSError as error:
        raise MachineError(f"cannot be written ({error.strerror})", where=path) from error
    return str(path)


def _layout() -> Any:
    """The fused image large, both inputs below it, the times at the bottom."""
    blueprint: Any = require("rerun.blueprint", "view")
    inputs = [blueprint.Spatial2DView(origin=name, name=name) for name in ("visible", "thermal")]
    return blueprint.Blueprint(
        blueprint.Vertical(
            blueprint.Spatial2DView(origin="fused", name="fused"),
            blueprint.Horizontal(*inputs),
            blueprint.TimeSeriesView(origin="times", name="ms"),
            row_shares=[3, 2, 1],
        )
    )
