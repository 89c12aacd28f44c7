"""The start: which turn, scale and shift bring the two images together at all, over the whole range, by Fourier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.geometry import Matrix, Size, apply
from edgefusion.registration.features import Features
from edgefusion.registration.levels import Level, thermal_features
from edgefusion.registration.projective import Mapping, similarity

Spectrum = npt.NDArray[np.complex64]

LEAST_OVERLAP = 0.25
"""Of the visible image: less is no start."""

APART_PX = 3.0
"""At the working size: starts nearer to one another than that are one."""


@dataclass(frozen=True)
class Start:
    """A registration to begin from, at the working size.

    Attributes:
        registration: [3, 3].
        score: correlation of the edges, weighted by the overlap.
    """

    registration: Matrix
    score: float


@dataclass(frozen=True)
class Search:
    """Over what the start is sought, about what is expected.

    Attributes:
        turns_deg, scales: of thermal against what is expected.
        shift: largest, as a share of the visible image's sides.
    """

    turns_deg: tuple[float, ...] = tuple(np.arange(-24.0, 24.1, 4.0).tolist())
    scales: tuple[float, ...] = (0.86, 0.93, 1.0, 1.08, 1.16)
    shift: float = 0.3


def starts(levels: Sequence[Level], expected: Matrix, *, search: Search, most: int) -> list[Start]:
    """The most promising starts, best first.

    Args:
        levels: pairs at one small working size; they are searched together.
        expected: [3, 3] at that size.
        search: the range.
        most: how many.
    """
    size = levels[0].size_px
    padded = (_padded(size[1], search.shift), _padded(size[0], search.shift))
    visible = [_spectra(level.visible_features, padded) for level in levels]
    found: list[Start] = []
    for turn in search.turns_deg:
        for scale in search.scales:
            turned = expected @ similarity(turn_deg=turn, scale=scale, about=size)
            thermal = [_spectra(each, padded) for each in thermal_features(levels, Mapping(turned))]
            scores = _scores(visible, thermal, padded, size)
            found += _peaks(scores, turned, size, search.shift)
    return _distinct(sorted(found, key=lambda start: -start.score), size, most)


def _padded(side: int, shift: float) -> int:
    from scipy import fft  # here, as the drift monitor of every run imports this package and never comes here

    return int(fft.next_fast_len(int(np.ceil(side * (1 + shift))) + 2, real=True))


def _spectra(features: Features, padded: tuple[int, int]) -> tuple[Spectrum, Spectrum, Spectrum]:
    """Spectra of the edges (each channel), of their energy and of what was seen."""
    from scipy import fft

    edges = np.moveaxis(features.edges, 2, 0)
    energy = np.einsum("hwc,hwc->hw", features.edges, features.edges)
    planes = np.concatenate([edges, energy[None], features.seen[None].astype(np.float32)])
    spectra = fft.rfft2(planes, padded)
    return spectra[:-2], spectra[-2], spectra[-1]


def _scores(
    visible: list[tuple[Spectrum, Spectrum, Spectrum]],
    thermal: list[tuple[Spectrum, Spectrum, Spectrum]],
    padded: tuple[int, int],
    size: Size,
) -> npt.NDArray[np.float32]:
    """Normalised correlation for every shift (cyclic), summed over the pairs; 0 where they hardly overlap."""
    from scipy import fft

    matched = sum((v[0].conj() * t[0]).sum(axis=0) for v, t in zip(visible, thermal, strict=True))
    ours = sum(v[1].conj() * t[2] for v, t in zip(visible, thermal, strict=True))
    theirs = sum(v[2].conj() * t[1] for v, t in zip(visible, thermal, strict=True))
    both = sum(v[2].conj() * t[2] for v, t in zip(visible, thermal, strict=True))
    planes = fft.irfft2(np.stack([matched, ours, theirs, both]), padded)
    share = planes[3] / (len(visible) * size[0] * size[1])
    least = 0.05 * np.sqrt(max(planes[1].max() * planes[2].max(), 1e-12))
    normal = np.sqrt(np.maximum(planes[1], 0) * np.maximum(planes[2], 0)) + least
    scores = planes[0] / normal * np.sqrt(np.clip(share, 0, 1))
    return np.asarray(np.where(share >= LEAST_OVERLAP, scores, 0), np.float32)


def _peaks(scores: npt.NDArray[np.float32], turned: Matrix, size: Size, shift: float, most: int = 4) -> Iterable[Start]:
    rows, columns = (round(side * shift) for side in (size[1], size[0]))
    centred = np.roll(scores, (rows, columns), (0, 1))[: 2 * rows + 1, : 2 * columns + 1]
    best = cv2.dilate(centred, np.ones((7, 7), np.uint8))
    y, x = np.nonzero((centred == best) & (centred > 0))
    order = np.argsort(-centred[y, x])[:most]
    for row, column in zip(y[order], x[order], strict=True):
        moved = np.array([[1, 0, column - columns], [0, 1, row - rows], [0, 0, 1]], np.float64)
        yield Start(turned @ moved, float(centred[row, column]))


def _distinct(found: list[Start], size: Size, most: int) -> list[Start]:
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size], np.float64)
    kept: list[Start] = []
    for start in found:
        places = [apply(each.registration, corners) for each in kept]
        here = apply(start.registration, corners)
        if all(np.hypot(*(here - place).T).mean() > APART_PX for place in places):
            kept.append(start)
        if len(kept) == most:
            break
    return kept
