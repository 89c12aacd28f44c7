"""Which combinations are run, in which order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.errors import UsageError
from edgefusion.core.geometry import Size
from runtime.build import usable
from runtime.profile.power_modes import PowerMode

AXES = ("precision", "power-mode", "size")
SCALES = (0.5, 1.0, 2.0)
"""Sizes of a sweep: the bundle's own, half and double its sides."""


@dataclass(frozen=True)
class Combination:
    """One run of a profile.

    Attributes:
        size_px: of the visible camera; None: the rig's.
        power_mode: None: as it is.
    """

    precision: Precision
    size_px: Size | None
    power_mode: PowerMode | None = None

    @property
    def name(self) -> str:
        """What it is called, also as a file."""
        parts = [str(self.precision)]
        parts += [f"{self.size_px[0]}x{self.size_px[1]}"] if self.size_px else []
        parts += [re.sub(r"[^\w.+-]", "_", self.power_mode.name)] if self.power_mode else []
        return "-".join(parts)


def parse_axes(text: str) -> tuple[str, ...]:
    """The axes of ``--sweep``.

    Raises:
        UsageError: there is no such axis.
    """
    axes = tuple(part.strip() for part in text.split(",") if part.strip())
    for axis in axes:
        if axis not in AXES:
            raise UsageError(f"{axis!r} cannot be swept", where="--sweep", remedy=f"take some of {','.join(AXES)}")
    return axes


def precisions_of(bundle: Bundle, asked: Sequence[Precision], *, swept: bool) -> list[Precision]:
    """Those asked for; all that may be used, if they are swept; else none: whichever is fastest."""
    return list(dict.fromkeys(asked)) or (usable(bundle) if swept else [])


def sizes_of(bundle: Bundle, asked: Sequence[Size], *, swept: bool, rig: bool) -> list[Size | None]:
    """Those asked for; half, own and double the bundle's size, if they are swept; else its own, or the rig's cameras'.

    Raises:
        UsageError: cameras do not change their size.
    """
    if rig and (asked or swept):
        raise UsageError("the cameras of --rig have one size", remedy="leave --rig out to sweep sizes")
    if rig:
        return [None]
    width, height = bundle.manifest.layout.size_px
    scales = SCALES if swept else (1.0,)
    return list(dict.fromkeys(asked)) or [(_even(width * scale), _even(height * scale)) for scale in scales]


def combine(
    precisions: Sequence[Precision], sizes: Sequence[Size | None], modes: Sequence[PowerMode | None]
) -> list[Combination]:
    """Every combination; the power mode changes least often."""
    return [Combination(precision, size, mode) for mode, size, precision in product(modes, sizes, precisions)]


def _even(pixels: float) -> int:
    """A multiple of four, as engines need."""
    return max(round(pixels / 4) * 4, 32)
