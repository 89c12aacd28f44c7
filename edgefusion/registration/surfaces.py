"""How well each part of the visible image matches thermal near where it should lie, for every small shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.geometry import Matrix, Size
from edgefusion.registration.features import Features
from edgefusion.registration.levels import Level

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
        return self.values.shape[1] // 2


def blocks(size_px: Size, side_px: int) -> list[tuple[int, int]]:
    """Top left corners of half-overlapping blocks that cover an image."""
    columns, rows = (
        np.linspace(0, side - side_px, max(2, round(2 * side / side_px) - 1)).round().astype(int).tolist()
        for side in size_px
    )
    return [(x, y) for y in rows for x in columns]


def surfaces(
    levels: Sequence[Level], registration: Matrix, *, block_px: int, radius_px: int, weights: Matrix | None = None
) -> Surfaces:
    """The surfaces of several pairs at one working size, averaged.

    Args:
        levels: the pairs.
        registration: [3, 3] at that size, about which thermal is sought.
        block_px: side of a block.
        radius_px: largest shift.
        weights: of each pair.
    """
    corners = blocks(levels[0].size_px, block_px)
    total: Stack | None = None
    shares = np.ones(len(levels)) if weights is None else weights
    for level, share in zip(levels, shares / shares.sum(), strict=True):
        here = _correlate(level, registration, corners, block_px, radius_px) * np.float32(share)
        total = here if total is None else total + here
    assert total is not None
    return Surfaces(np.array(corners, np.float64) + (block_px - 1) / 2, total)


def _correlate(level: Level, registration: Matrix, corners: list[tuple[int, int]], block: int, radius: int) -> Stack:
    visible, thermal = level.visible_features, _padded(level.thermal_features(registration), radius)
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
