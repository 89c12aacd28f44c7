"""What a visible and a thermal image have in common: where edges run, whichever side of them is brighter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.integer[Any]] | npt.NDArray[np.floating[Any]]

CHANNELS = 4
GRADIENT_SIGMA_PX, SPREAD_SIGMA_PX, SURROUND_SIGMA_PX = 1.0, 1.0, 8.0
"""Of the blur before the gradient, of what is compared, and of the neighbourhood that normalises it."""

LEVELS = 255.0
"""Between the 1st and the 99th percentile of an image once it is stretched."""

LEAST_GRADIENT = 1.0
"""In stretched levels a pixel: weaker than that counts as noise whatever the noise is."""

OUTSTANDING = 12.0
"""Squared gradient against that of noise."""

BORDER_PX = 4
"""So near to what a camera did not see, a gradient is one of the border."""

CONVEX = 0.98
"""Of its convex hull, a picture that was warped onto a uniform ground fills at least this."""


@dataclass(frozen=True)
class Features:
    """Edges of one image, as two cameras with different senses of brightness see them alike.

    Attributes:
        edges: [H, W, 4] float32: the edge's strength against its surroundings (0..1) times cos and sin of twice, and
            of four times, its direction. Light on dark and dark on light come out equal.
        seen: [H, W] bool: where the camera saw something.
    """

    edges: Plane
    seen: Mask


def stretch(image: Image, seen: Mask) -> Plane:
    """[H, W] float32 of an image of any integer type; 0 to 255 are its 1st and 99th percentile where it was seen."""
    values = image[::2, ::2][seen[::2, ::2]]
    low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 0.0)
    return np.asarray((image.astype(np.float32) - np.float32(low)) * np.float32(LEVELS / max(high - low, 1.0)))


def describe(plane: Plane, seen: Mask) -> Features:
    """The edges of a stretched image.

    Args:
        plane: [H, W].
        seen: [H, W]: what lies outside, and edges next to it, are left out.
    """
    smooth = cv2.GaussianBlur(plane, (0, 0), GRADIENT_SIGMA_PX)
    across, down = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    squares, product = across * across - down * down, 2 * across * down
    energy = across * across + down * down
    inside = _shrunk(seen)
    energy *= inside
    around = cv2.GaussianBlur(energy, (0, 0), SURROUND_SIGMA_PX)
    # strength = energy / (energy + surroundings + noise): bounded, so that no single edge rules
    weight = energy / (energy + around + noise_energy(plane, seen)) / np.maximum(energy, 1e-12)
    cos2, sin2 = squares * weight, product * weight
    strength = np.maximum(energy * weight, 1e-12)
    edges = cv2.merge((cos2, sin2, (cos2 * cos2 - sin2 * sin2) / strength, 2 * cos2 * sin2 / strength))
    return Features(cast(Plane, cv2.GaussianBlur(edges, (0, 0), SPREAD_SIGMA_PX)), inside)


def noise_energy(plane: Plane, seen: Mask) -> float:
    """The squared gradient that noise alone makes, after the blur: from what neighbouring pixels do not explain."""
    if min(plane.shape) < 3:
        return LEAST_GRADIENT**2
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    rough = np.abs(cv2.filter2D(plane, -1, kernel))[1:-1:2, 1:-1:2][seen[1:-1:2, 1:-1:2]]
    sigma = float(np.median(rough)) / 0.6745 / 6 if rough.size else 0.0
    return LEAST_GRADIENT**2 + (0.45 * sigma) ** 2


def _shrunk(seen: Mask) -> Mask:
    if seen.all():
        return seen
    kernel = np.ones((2 * BORDER_PX + 1, 2 * BORDER_PX + 1), np.uint8)
    return np.asarray(cv2.erode(seen.astype(np.uint8), kernel, borderValue=1), bool)


def seen_part(image: Image) -> Mask:
    """[H, W] bool: False on the uniform ground that an image was warped onto, as undistortion and padding leave it."""
    plane = image.astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    flat = ((cv2.dilate(plane, kernel) - cv2.erode(plane, kernel)) <= 0).astype(np.uint8)
    everything = np.ones(image.shape, bool)
    ground = np.zeros(image.shape, bool)
    _, labels = cv2.connectedComponents(flat, connectivity=4)
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    rim = rim[rim > 0]
    if not rim.size:
        return everything
    ground = np.isin(labels, rim)
    if len(np.unique(image[ground])) > 1 or ground.mean() < 0.001:
        return everything
    seen = ~np.asarray(cv2.dilate(ground.astype(np.uint8), kernel), bool)
    points = cv2.findNonZero(seen.astype(np.uint8))
    if points is None:
        return seen
    hull = cv2.contourArea(cv2.convexHull(points))
    return seen if seen.sum() >= CONVEX * hull else everything


def richness(plane: Plane, seen: Mask) -> float:
    """The share of an image's pixels whose gradient stands out of its noise, 0..1."""
    smooth = cv2.GaussianBlur(plane, (0, 0), GRADIENT_SIGMA_PX)
    across, down = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    clear = (across * across + down * down > OUTSTANDING * noise_energy(plane, seen)) & _shrunk(seen)
    return float(clear.mean())
