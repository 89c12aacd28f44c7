"""How well each part of the visible image matches thermal near where it should lie, for every small shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.geometry import Matrix, Size
from edgefusion.registration.features import Features
from edgefusion.registration.levels import Level, thermal_features
from edgefusion.registration.projective import Mapping

Stack = npt.NDArray[np.float32]

ENERGY_FLOOR = 0.01
"""Of a block: edges of less energy a pixel count for little."""


@dataclass(frozen=True)
class Surfaces:
    """Correlation of blocks.

    Attributes:
        centres: [B, 2] pixels of the blocks' centres, at the working size.
        values: [B, 2R + 1, 2R + 1] mean over the pairs of the correlation (-1..1) when thermal is sought so many
            pixels below and right; the middle is no shift.
    """

    centres: Matrix
    values: Stack

    @property
    def radius_px(self) -> int:
        """The largest shift."""
        return int(self.values.shape[1]) // 2


def blocks(size_px: Size, side_px: int) -> list[tuple[int, int]]:
    """Top left corners of blocks that cover an image, half of each shared with the next."""
    columns, rows = (
        np.linspace(0, side - side_px, max(2, round(2 * side / side_px) - 1)).round().astype(int).tolist()
        for side in size_px
    )
    return [(x, y) for y in rows for x in columns]


def surfaces(levels: Sequence[Level], mapping: Mapping, *, block_px: int, radius_px: int) -> Surfaces:
    """The surfaces of several pairs at one working size, averaged.

    Args:
        levels: the pairs.
        mapping: at that size, about which thermal is sought.
        block_px: side of a block.
        radius_px: largest shift.
    """
    corners = blocks(levels[0].size_px, block_px)
    thermal = thermal_features(levels, mapping)
    total = sum(
        _correlate(level.visible_features, theirs, corners, block_px, radius_px)
        for level, theirs in zip(levels, thermal, strict=True)
    )
    return Surfaces(np.array(corners, np.float64) + (block_px - 1) / 2, np.asarray(total / np.float32(len(levels))))


def _correlate(visible: Features, seen: Features, corners: list[tuple[int, int]], block: int, radius: int) -> Stack:
    thermal = _padded(seen, radius)
    ours = _energies(visible.edges, block)
    theirs = _energies(thermal, block)
    window = 2 * radius + 1
    values = np.empty((len(corners), window, window), np.float32)
    least = np.float32(ENERGY_FLOOR * block * block)
    for number, (x, y) in enumerate(corners):
        template = visible.edges[y : y + block, x : x + block]
        around = thermal[y : y + block + 2 * radius, x : x + block + 2 * radius]
        matched = cv2.matchTemplate(around, template, cv2.TM_CCORR)
        energy = theirs[y : y + window, x : x + window]
        values[number] = matched / np.sqrt((ours[y, x] + least) * (energy + least))
    return values


def _padded(features: Features, radius: int) -> Stack:
    return np.asarray(
        cv2.copyMakeBorder(features.edges, radius, radius, radius, radius, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    )


def _energies(edges: Stack, block: int) -> Stack:
    """Sum of squares of the block whose top left corner is there."""
    squares = np.einsum("hwc,hwc->hw", edges, edges)
    sums = cv2.boxFilter(squares, -1, (block, block), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(np.maximum(sums, 0), np.float32)
