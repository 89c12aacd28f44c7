"""How far a registration in use is off, from one pair: cheap enough to be asked while driving."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgefusion.core.geometry import Matrix, Size, apply, grid, inverse, scale_of
from edgefusion.registration import evidence
from edgefusion.registration.features import Image, stretch
from edgefusion.registration.fit import Fit, fit
from edgefusion.registration.levels import Level, Pair, View, check_image
from edgefusion.registration.projective import PARAMETERS, Mapping
from edgefusion.registration.refusals import LEAST_SUPPORT, blank
from edgefusion.registration.surfaces import surfaces

SIDE_PX, BLOCK_PX, RADIUS_PX, BLUR_PX = 320, 48, 12, 1.5
"""At a side of 320, a drift of up to 12 pixels, which is 24 at 640, is found."""


@dataclass(frozen=True)
class Residual:
    """What is left between the two images under a registration.

    Attributes:
        correction: [3, 3] among visible pixels: ``registration @ correction`` fits this pair.
        shift_px: (x, y) of the visible image's centre.
        turn_deg, scale: of the correction.
        displacement_px: mean over a 9x9 grid, in visible pixels.
        uncertainty_px: expected error of that.
        support: share of the image's blocks that agree when asked alone, 0..1.
        doubt: why this is no measurement, as a clause; empty if it is one.
    """

    correction: Matrix
    shift_px: tuple[float, float]
    turn_deg: float
    scale: float
    displacement_px: float
    uncertainty_px: float
    support: float
    doubt: str = ""


def residual(
    visible: Image, thermal: Image, registration: Matrix, *, lens: float = 0.0,
    model: Literal["similarity", "homography"] = "similarity", radius_px: int = RADIUS_PX,
) -> Residual:  # fmt: skip
    """Compare one pair under a registration.

    Args:
        visible: luma [H, W], any integer or real type.
        thermal: [h, w].
        registration: [3, 3] from a visible pixel to a thermal one, for these sizes.
        lens: radial term after it (``Mapping.lens``).
        model: what may be off.
        radius_px: how far at most, at a side of SIDE_PX or the image's own if that is smaller; less is cheaper.

    Raises:
        InputError: images of another shape or too small.
    """
    level = _level(visible, thermal, registration)
    if reason := blank(level.visible, level.thermal):
        return _doubtful(reason, 0.0)
    mapping = level.here(Mapping(registration, lens))
    given = surfaces([level], mapping, block_px=BLOCK_PX, radius_px=radius_px)
    found = fit(given, level, mapping, model=model, before=np.zeros(PARAMETERS[model]), blur_px=BLUR_PX)
    support = evidence.agreement(given, around=_shifts(found, mapping, given.centres))
    if support < LEAST_SUPPORT:
        reach = radius_px / level.shrink
        return _doubtful(f"no match within {reach:.0f} pixels: hidden, unlike, or farther off", support)
    return _measured(level, Mapping(registration), found, support)


def _level(visible: Image, thermal: Image, registration: Matrix) -> Level:
    """Shrunk before it is stretched, which is cheaper."""
    level = Pair(_raw(visible, where="visible"), _raw(thermal, where="thermal")).at(SIDE_PX, scale_of(registration))
    return replace(level, visible=_stretched(level.visible), thermal=_stretched(level.thermal))


def _raw(image: Image, *, where: str) -> View:
    """All of it seen: a live camera's image has no uniform ground to look for."""
    check_image(image, where=where)
    return View(image.astype(np.float32), np.ones(image.shape, bool))


def _stretched(view: View) -> View:
    return View(stretch(view.plane, view.seen), view.seen)


def _shifts(found: Fit, before: Mapping, centres: Matrix) -> Matrix:
    """[B, 2] how far the fit moves each block, in working pixels."""
    change = inverse(before.matrix) @ found.mapping.matrix
    return apply(change, centres) - centres


def _measured(level: Level, before: Mapping, found: Fit, support: float) -> Residual:
    correction = inverse(before.matrix) @ level.native(found.mapping).matrix
    correction /= correction[2, 2]
    size = _native_size(level)
    middle = (np.array(size, np.float64) - 1) / 2
    shift = apply(correction, middle[None])[0] - middle
    points = grid(size)
    away = float(np.hypot(*(apply(correction, points) - points).T).mean())
    turn = float(np.degrees(np.arctan2(correction[1, 0] - correction[0, 1], correction[0, 0] + correction[1, 1])))
    uncertainty = found.uncertainty_px / level.shrink
    return Residual(
        correction, (float(shift[0]), float(shift[1])), turn, scale_of(correction), away, uncertainty, support
    )


def _native_size(level: Level) -> Size:
    return round(level.size_px[0] / level.from_visible[0, 0]), round(level.size_px[1] / level.from_visible[1, 1])


def _doubtful(doubt: str, support: float) -> Residual:
    return Residual(np.eye(3), (0.0, 0.0), 0.0, 1.0, 0.0, float("inf"), support, doubt)
