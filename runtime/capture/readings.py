"""Whether 16-bit readings are read in the right byte order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import RigError
from edgefusion.core.frames import Frame, PixelFormat

SMOOTHER = 4.0
"""Neighbouring readings differ by so many times less in the right byte order; noise alone makes no difference."""


class ByteOrderError(RigError):
    """A camera's readings have their bytes the other way round than rig.toml says."""


def check_byte_order(frame: Frame, *, bits: int) -> None:
    """Refuse a frame that can only be in the other byte order.

    That is one with readings beyond its bits, which in the other order has none, and is smooth. Where ``bits`` is 16
    nothing is certain: ``edgefusion rig check --open`` says what is likely.

    Args:
        frame: of any format; only one of 16 bits is looked at.
        bits: of a reading, as rig.toml has it.

    Raises:
        ByteOrderError: it is.
    """
    if not frame.format.deep:
        return
    readings, most = frame.readings, 1 << bits
    if int(readings.max()) < most or int(readings.byteswap().max()) >= most or not swapped(readings):
        return
    given, other = ("big", "little") if frame.format is PixelFormat.Y16_BE else ("little", "big")
    raise ByteOrderError(
        f'thermal readings up to {int(readings.max())}, which {bits} bits do not hold, read as "{given}" endian',
        where="thermal.byte_order",
        remedy=f'set byte_order = "{other}": so the picture is smooth and has {bits} bits',
    )


def swapped(readings: npt.NDArray[Any]) -> bool:
    """Whether a picture [H, W] is smooth only with the bytes of its readings the other way round."""
    return roughness(readings) > SMOOTHER * roughness(readings.byteswap())


def roughness(readings: npt.NDArray[Any]) -> float:
    """Mean difference of neighbouring readings, as a share of their whole range."""
    wide = readings.astype(np.float64)
    span = float(wide.max() - wide.min())
    return float(np.abs(np.diff(wide, axis=1)).mean() / span) if span else 0.0
