"""Where live frames come from, one file per kind of source.

Public: ``open_camera``, and ``FaultyCamera`` with ``Fault``, for tests of what a camera's faults do (docs/faults.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.capture.base import open_camera as open_camera
    from runtime.capture.faults import Fault as Fault
    from runtime.capture.faults import FaultyCamera as FaultyCamera

_HOMES = {
    "Fault": "runtime.capture.faults",
    "FaultyCamera": "runtime.capture.faults",
    "open_camera": "runtime.capture.base",
}

__all__ = ["Fault", "FaultyCamera", "open_camera"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'runtime.capture' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
