"""Rigs and small frames for tests of the live runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgefusion.core import rig
from edgefusion.core.frames import Clock, Frame, PixelFormat
from edgefusion.recordings.pairing import Side

SIZE = (16, 12)
FORMATS: dict[Side, PixelFormat] = {"visible": PixelFormat.GREY, "thermal": PixelFormat.Y16}


def small_rig(
    *,
    tolerance_ms: float = 20,
    hold_s: float = 0.5,
    buffers: int = 4,
    offsets_ns: tuple[int, int] = (0, 0),
    **policy: object,
) -> rig.Rig:
    """Two cameras of a few pixels; the offsets are visible's and thermal's ``time_offset_ns``."""

    def camera(side: Side, **more: object) -> dict[str, object]:
        offset_ns = offsets_ns[0] if side == "visible" else offsets_ns[1]
        return {"size_px": SIZE, "format": FORMATS[side], "buffers": buffers, "time_offset_ns": offset_ns, **more}

    facts = {
        "schema": 1,
        "visible": camera("visible"),
        "thermal": camera("thermal", hold_s=hold_s),
        "registration": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        "tolerance_ms": tolerance_ms,
        "policy": policy,
    }
    return rig.Rig.model_validate(facts)


def small_frame(
    side: Side,
    timestamp_ns: int,
    *,
    sequence: int = 0,
    clock: Clock = "monotonic",
    picture: int | None = None,
    release: Callable[[], None] = lambda: None,
) -> Frame:
    """A frame whose pixels are all ``picture``, by default another one each time."""
    shade = sequence % 251 if picture is None else picture
    form = FORMATS[side]
    pixels = np.full(form.array_shape(*SIZE), shade, form.dtype)
    return Frame(pixels, form, timestamp_ns, clock, sequence, release)
