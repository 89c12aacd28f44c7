"""One pair of images at one working size, and thermal as it looks through a registration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix, Size, inverse, resize_map
from edgefusion.registration.features import Features, Image, Mask, Plane, describe, seen_part, stretch
from edgefusion.registration.projective import Mapping, look_through, lookup

SMALLEST_PX = 48
"""Of an image's shorter side."""


@dataclass(frozen=True)
class View:
    """An image at some size: stretched, and where it shows something."""

    plane: Plane
    seen: Mask

    @property
    def size_px(self) -> Size:
        """(width, height)."""
        return self.plane.shape[1], self.plane.shape[0]

    def at(self, size_px: Size) -> View:
        """It at another size."""
        if size_px == self.size_px:
            return self
        shrink = cv2.INTER_AREA if size_px[0] < self.size_px[0] else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(self.plane, size_px, interpolation=shrink), np.float32)
        if self.seen.all():
            return View(small, np.ones(small.shape, bool))
        share = cv2.resize(self.seen.astype(np.float32), size_px, interpolation=shrink)
        return View(small, np.asarray(share > 0.99, bool))


def view(image: Image, *, where: str) -> View:
    """An image as the camera gave it, any integer or real type.

    Raises:
        InputError: it is not [H, W], or too small.
    """
    check_image(image, where=where)
    seen = seen_part(image)
    return View(stretch(image, seen), seen)


def check_image(image: Image, *, where: str) -> None:
    """Refuse what cannot be registered.

    Raises:
        InputError: it is not [H, W], or too small.
    """
    if image.ndim != 2 or min(image.shape) < SMALLEST_PX:
        raise InputError(
            f"an image of shape {image.shape} cannot be registered", where=where,
            remedy=f"give one channel, {SMALLEST_PX} pixels or more high and wide",
        )  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A visible and a thermal image at their own sizes."""

    visible: View
    thermal: View

    def at(self, side_px: int, scale: float) -> Level:
        """It at a working size.

        Args:
            side_px: of the visible image's longer side; never enlarged.
            scale: thermal pixels to a visible one, so that both are worked on equally fine.
        """
        shrink = min(side_px / max(self.visible.size_px), 1.0)
        visible = _scaled(self.visible.size_px, shrink)
        thermal = _scaled(self.thermal.size_px, min(shrink / scale, 1.0))
        return Level(
            self.visible.at(visible), self.thermal.at(thermal),
            resize_map(self.visible.size_px, visible), resize_map(self.thermal.size_px, thermal),
        )  # fmt: skip


def _scaled(size_px: Size, factor: float) -> Size:
    return max(round(size_px[0] * factor), 16), max(round(size_px[1] * factor), 16)


@dataclass(frozen=True)
class Level:
    """A pair at a working size.

    Attributes:
        visible, thermal: the images.
        from_visible, from_thermal: [3, 3] from their own pixels to those here.
    """

    visible: View
    thermal: View
    from_visible: Matrix
    from_thermal: Matrix

    @property
    def size_px(self) -> Size:
        """(width, height) that all is compared at: the visible image's."""
        return self.visible.size_px

    @property
    def shrink(self) -> float:
        """Pixels here to one of the visible image."""
        return float(self.from_visible[0, 0])

    @cached_property
    def visible_features(self) -> Features:
        """Edges of the visible image."""
        return describe(self.visible.plane, self.visible.seen)

    def here(self, mapping: Mapping) -> Mapping:
        """A map between the images' own sizes, for the sizes here."""
        return replace(mapping, matrix=self.from_thermal @ mapping.matrix @ inverse(self.from_visible))

    def native(self, mapping: Mapping) -> Mapping:
        """The inverse of ``here``."""
        matrix = inverse(self.from_thermal) @ mapping.matrix @ self.from_visible
        return replace(mapping, matrix=matrix / matrix[2, 2])


def thermal_features(levels: Sequence[Level], mapping: Mapping) -> list[Features]:
    """Edges of thermal where the visible pixels have them, through a map of the working size, of each pair."""
    at = lookup(mapping, levels[0].size_px, levels[0].thermal.size_px)
    return [_through(level.thermal, at) for level in levels]


def _through(thermal: View, at: tuple[Plane, Plane]) -> Features:
    plane = look_through(thermal.plane, at, cv2.BORDER_REPLICATE)
    seen = look_through(thermal.seen.astype(np.float32), at, cv2.BORDER_CONSTANT) > 0.999
    return describe(plane, np.asarray(seen, bool))
