"""The bend of a registration: from what is known of the lenses to displacements on a coarse grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgefusion.core.geometry import Bend, Matrix, Size, apply, grid, inverse, normaliser

NODES = (65, 49)
"""Columns and rows of the grid: at a width of 640, between nodes 10 pixels apart, strong lenses are followed to some
hundredths of a pixel."""

MARGIN = 0.25
"""The lenses are asked so far beyond thermal's edges, as a share of its sides. Farther out a lens's polynomial may turn
back, and thermal would show up where the camera does not look: there the displacement is that of the nearest place."""

LEAST_RADIAL, MOST_RADIAL = -0.3, 1.0
"""Below -1/3 a single term would turn back within the image."""

Exact = Callable[[Matrix], Matrix]
"""[N, 2] visible pixels to the [N, 2] thermal points they show; NaN where the lens does not tell."""


def bend_towards(exact: Exact, matrix: Matrix, *, visible: Size, thermal: Size) -> Bend:
    """What an exact map adds to a homography.

    Args:
        exact: the map.
        matrix: [3, 3] the homography.
        visible: size of the visible image that ``exact`` and ``matrix`` are for.
        thermal: the same of the thermal one.
    """
    columns, rows = NODES
    place = np.diag([(columns - 1) / max(visible[0] - 1, 1), (rows - 1) / max(visible[1] - 1, 1), 1.0])
    nodes, points = grid(NODES, NODES), grid(visible, NODES)
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = apply(matrix, points)
    ahead = np.column_stack([points, np.ones(len(points))]) @ matrix[2] > 0
    edge = MARGIN * np.array(thermal)
    near = ahead & ((seen >= -edge) & (seen <= np.array(thermal) - 1 + edge)).all(axis=1)
    off = np.full_like(points, np.nan)
    if near.any():
        off[near] = exact(points[near]) - seen[near]
    return Bend(_filled(off, nodes).reshape(rows, columns, 2), place)


def radial_bend(radial: float, matrix: Matrix, *, visible: Size, thermal: Size) -> Bend:
    """The bend of one radial term, as ``bent_radially`` defines it, after a homography."""
    return bend_towards(
        lambda points: bent_radially(apply(matrix, points), radial, thermal, strict=True),
        matrix, visible=visible, thermal=thermal,
    )  # fmt: skip


def bent_radially(points: Matrix, radial: float, size_px: Size, *, strict: bool = False) -> Matrix:
    """A point at r half diagonals from an image's centre is moved to r * (1 + radial * r^2).

    Args:
        points: [N, 2] pixels.
        radial: the term.
        size_px: of the image.
        strict: NaN where points farther out would no longer come to lie farther out.
    """
    norm = normaliser(size_px)
    ideal: Matrix = apply(norm, points)
    squares = (ideal**2).sum(axis=1, keepdims=True)
    moved = ideal * (1 + radial * squares)
    return apply(inverse(norm), np.where(1 + 3 * radial * squares > 0, moved, np.nan) if strict else moved)


def _filled(off: Matrix, nodes: Matrix) -> Matrix:
    """Displacements [N, 2], those that are not known as at the nearest node at which they are; 0 if there is none."""
    known = np.isfinite(off).all(axis=1)
    if not known.any():
        return np.zeros_like(off)
    apart = nodes[~known][:, None] - nodes[known][None]
    filled: Matrix = off.copy()
    filled[~known] = off[known][np.einsum("ijk,ijk->ij", apart, apart).argmin(axis=1)]
    return filled
