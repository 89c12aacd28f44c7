"""What every live camera offers, and which kinds there are: one file each, one line in ``KINDS``."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Protocol, cast

from edgefusion.core import rig
from edgefusion.core.errors import RigError, RunError
from edgefusion.core.frames import Form, Frame
from edgefusion.recordings.pairing import Side

KINDS = {
    "v4l2": "runtime.capture.v4l2:V4l2Camera",
    "gstreamer": "runtime.capture.gstreamer:GStreamerCamera",
    "rtsp": "runtime.capture.rtsp:RtspCamera",
    "replay": "runtime.capture.replay:ReplayCamera",
    "simulated": "runtime.capture.simulated_camera:SimulatedCamera",
}
"""Kind -> class. ``device`` in rig.toml is ``KIND:ADDRESS``; a path under /dev is v4l2, a URL rtsp://... is rtsp."""

SPARE = 2
"""Of its buffers, a driver always keeps so many to capture into: whoever takes frames holds all but these."""

_LOGIN = re.compile(r"//[^/\s]*@")
_PASSWORD = re.compile(
    r"""((?:pw|pwd|passwd|password|passphrase)\s*=\s*)  # of a pipeline's element, or in a URL's path or query
    (?:\\?"[^"]*"|\\?'[^']*'|(?:\\+[^"']|[^\s"'\\])+)  # quoted, perhaps within a string of TOML; or up to a space""",
    re.IGNORECASE | re.VERBOSE,
)


class CameraLostError(RunError):
    """It was there and is gone: unplugged, disconnected, silent. Close it and open it again."""


class StreamEndError(RunError):
    """A recording has no more frames."""


class Camera(Protocol):
    """A live camera, used by one thread; ``Frame.release`` may be called from any.

    Attributes:
        facts: what the status shows once it is open: kind, ``memory`` (how pixels come: userptr, dmabuf, mmap or copy),
            ``copies`` (per frame), driver, rate ...
    """

    facts: dict[str, Any]

    def open(self) -> Form:
        """Begin to capture; what its frames will be. May be called again after ``close``.

        Raises:
            MachineError: it is busy, or not permitted, or something this kind needs is missing.
            RigError: it does not offer what rig.toml asks for; says what it offers.
            CameraLostError: it is not there.
        """

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, whose pixels stay until its ``release``; None if none came in time.

        Raises:
            CameraLostError: it is gone.
            StreamEndError: it was a recording, and that is over.
            InputError: what comes is not what ``open`` said: another size or format, a damaged picture.
        """

    def close(self) -> None:
        """Stop, and give everything back. Pixels of frames not yet released stay readable."""


def open_camera(side: Side, settings: rig.Camera) -> Camera:
    """The camera that a rig's settings describe, not yet opened.

    Every class is made as ``Class(address, settings, side)``.

    Raises:
        RigError: no device, or no such kind.
    """
    if settings.device is None:
        raise RigError(f"{side}.device is missing", remedy="name the camera, such as /dev/video0; see docs/rig.md")
    kind, address = split_device(settings.device)
    if kind not in KINDS:
        raise RigError(f"{side}.device: no kind {kind!r}", remedy=f"one of {', '.join(KINDS)}, or a path under /dev")
    module, _, name = KINDS[kind].partition(":")
    return cast(Camera, getattr(import_module(module), name)(address, settings, side))


def split_device(device: str) -> tuple[str, str]:
    """Kind and address of a ``device``."""
    if device.startswith("/dev/"):
        return "v4l2", device
    kind, _, address = device.partition(":")
    return ("rtsp", device) if kind in ("rtsp", "rtsps") else (kind, address)


def without_passwords(text: str, *, login: str = "***") -> str:
    """A text that may quote a camera's device, such as a message or a rig.toml, as it may be shown.

    Args:
        text: what may hold URLs with a login, or properties such as ``user-pw=...``.
        login: what stands in a URL instead of user and password.
    """
    return _PASSWORD.sub(r"\1***", _LOGIN.sub(lambda _: f"//{login}@", text))
