"""Real-time RGB + thermal image fusion for NVIDIA Jetson vehicle rigs.

The public face. Everything is loaded when it is first used, so that ``import edgefusion`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefusion.core.bundle import Bundle as Bundle
    from edgefusion.core.bundle import load_bundle as load_bundle
    from edgefusion.core.errors import EdgeFusionError as EdgeFusionError
    from edgefusion.core.errors import RingLostError as RingLostError
    from edgefusion.core.errors import RingTimeoutError as RingTimeoutError
    from edgefusion.core.frames import Frame as Frame
    from edgefusion.core.frames import FramePair as FramePair
    from edgefusion.core.frames import PixelFormat as PixelFormat
    from edgefusion.recordings.recording import open_recording as open_recording
    from edgefusion.ring.frame import RingFrame as RingFrame
    from edgefusion.ring.reader import Subscription as Subscription
    from edgefusion.ring.reader import subscribe as subscribe
    from edgefusion.ring.status import RingStatus as RingStatus
    from edgefusion.ring.status import list_rings as list_rings
    from edgefusion.ring.status import read_status as read_status

_HOMES = {
    "Bundle": "edgefusion.core.bundle",
    "EdgeFusionError": "edgefusion.core.errors",
    "Frame": "edgefusion.core.frames",
    "FramePair": "edgefusion.core.frames",
    "PixelFormat": "edgefusion.core.frames",
    "RingFrame": "edgefusion.ring.frame",
    "RingLostError": "edgefusion.core.errors",
    "RingStatus": "edgefusion.ring.status",
    "RingTimeoutError": "edgefusion.core.errors",
    "Subscription": "edgefusion.ring.reader",
    "list_rings": "edgefusion.ring.status",
    "load_bundle": "edgefusion.core.bundle",
    "open_recording": "edgefusion.recordings.recording",
    "read_status": "edgefusion.ring.status",
    "subscribe": "edgefusion.ring.reader",
}

__all__ = [
    "Bundle",
    "EdgeFusionError",
    "Frame",
    "FramePair",
    "PixelFormat",
    "RingFrame",
    "RingLostError",
    "RingStatus",
    "RingTimeoutError",
    "Subscription",
    "list_rings",
    "load_bundle",
    "open_recording",
    "read_status",
    "subscribe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgefusion' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
