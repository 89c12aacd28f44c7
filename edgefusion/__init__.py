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
    from edgefusion.core.frames import Frame as Frame
    from edgefusion.core.frames import FramePair as FramePair
    from edgefusion.core.frames import PixelFormat as PixelFormat
    from edgefusion.recordings.recording import open_recording as open_recording

_HOMES = {
    "Bundle": "edgefusion.core.bundle",
    "EdgeFusionError": "edgefusion.core.errors",
    "Frame": "edgefusion.core.frames",
    "FramePair": "edgefusion.core.frames",
    "PixelFormat": "edgefusion.core.frames",
    "load_bundle": "edgefusion.core.bundle",
    "open_recording": "edgefusion.recordings.recording",
}

__all__ = ["Bundle", "EdgeFusionError", "Frame", "FramePair", "PixelFormat", "load_bundle", "open_recording"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgefusion' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
