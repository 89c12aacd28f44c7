"""Where each part of a visible image finds itself in thermal, against where a registration puts it: for the eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefusion.core.geometry import Matrix, apply, inverse, scale_of
from edgefusion.registration import evidence
from edgefusion.registration.features import Image
from edgefusion.registration.levels import Pair, view
from edgefusion.registration.projective import Mapping
from edgefusion.registration.surfaces import Stack, surfaces


@dataclass(frozen=True)
class Windows:
    """The windows of one pair, which overlap; the same ones for each pair of one size.

    Attributes:
        centres_px: [B, 2] in the visible image.
        shifts_px: [B, 2] how far the best match lies from where the registration puts the window, visible pixels.
        agrees: [B] whether that is a match, and near: such windows hold the registration up (``Estimate.support``).
    """

    centres_px: Matrix
    shifts_px: Matrix
    agrees: npt.NDArray[np.bool_]


def windows(visible: Image, thermal: Image, registration: Matrix, *, lens: float = 0.0) -> Windows:
    """Ask each window of a pair alone where in thermal it is.

    Args:
        visible: luma [H, W], any integer or real type.
        thermal: [h, w].
        registration: [3, 3] from a visible pixel to a thermal one, for these sizes.
        lens: radial term after it (``Mapping.lens``).

    Raises:
        InputError: images of another shape or too small.
    """
    pair = Pair(view(visible, where="visible"), view(thermal, where="thermal"))
    level = pair.at(evidence.SIDE_PX, scale_of(registration))
    mapping = level.here(Mapping(registration, lens))
    given = surfaces([level], mapping, block_px=evidence.BLOCK_PX, radius_px=evidence.RADIUS_PX)
    shifts, agrees = _peaks(given.values), evidence.agreeing(given)
    return Windows(apply(inverse(level.from_visible), given.centres), shifts / level.shrink, agrees)


def _peaks(values: Stack) -> Matrix:
    """[B, 2] place of each surface's highest point from its middle, between samples by the parabola through three."""
    side = values.shape[1]
    best = values.reshape(len(values), -1).argmax(axis=1)
    number, y, x = np.arange(len(values)), best // side, best % side
    inner_x, inner_y = np.clip(x, 1, side - 2), np.clip(y, 1, side - 2)
    across = _parabola(*(values[number, y, inner_x + step] for step in (-1, 0, 1)))
    down = _parabola(*(values[number, inner_y + step, x] for step in (-1, 0, 1)))
    peaks = np.column_stack([x + across * (x == inner_x), y + down * (y == inner_y)])
    return np.asarray(peaks - side // 2, np.float64)


def _parabola(before: Matrix, top: Matrix, after: Matrix) -> Matrix:
    """Of three samples with the highest in the middle, how far from it the summit is, -0.5..0.5."""
    bend = np.minimum(before - 2 * top + after, -1e-9)
    return np.asarray(np.clip((before - after) / (2 * bend), -0.5, 0.5))
