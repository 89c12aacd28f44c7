"""Quality of a fused image, by the field's usual figures.

Every image is [H,W], grey levels 0..255, of any real type; the three of a comparison have one shape. Where the
literature leaves room, these follow the evaluator most papers use (MMIF-CDDFuse, ``utils/Evaluator.py``), so that
figures can be set beside published ones; each function says where that evaluator is open to question. It reads
images as luma rounded to whole levels: do so too before comparing with its figures.

Constant images have defined values, stated with each function: no figure is ever NaN.

    >>> import numpy as np
    >>> visible, thermal = np.full((64, 64), 90, np.uint8), np.eye(64, dtype=np.uint8) * 200
    >>> scores = fusion_metrics(np.maximum(visible, thermal), visible=visible, thermal=thermal)
    >>> round(scores["EN"], 3), round(scores["MI"], 3)
    (0.116, 0.08)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError
from edgefusion.metrics import _edges, _levels, _windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def fusion_metrics(
    fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Several figures of one fused image, sharing what they have in common.

    Args:
        fused: [H,W], grey levels 0..255.
        visible: luma of the visible image, as fused.
        thermal: as fused.
        names: which of ``METRICS``, in the order wanted; all by default. Higher is better, except Nabf.

    Raises:
        UsageError: shapes or levels are not as described, an unknown name, or images too small for a figure
            (VIF needs 41 pixels a side, SSIM 7, SF, AG and Nabf 2).
    """
    scene = _scene(fused, visible, thermal)
    return {name: _METRICS[name](scene) for name in known_metrics(METRICS if names is None else names)}


def known_metrics(names: Iterable[str]) -> list[str]:
    """The names, if each is one of ``METRICS``; UsageError otherwise."""
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in _METRICS]
    if unknown:
        raise UsageError(f"unknown metric {', '.join(map(repr, unknown))}", remedy=f"choose from {', '.join(METRICS)}")
    return wanted


def entropy(fused: npt.ArrayLike) -> float:
    """EN: Shannon entropy of the grey levels, rounded to whole ones, in bits; 0..8.

    Source: Roberts, van Aardt, Ahmed, J. Applied Remote Sensing 2 (2008). Constant: 0.
    """
    return _entropy(_alone(fused))


def standard_deviation(fused: npt.ArrayLike) -> float:
    """SD: standard deviation (over N) in grey levels. Constant: 0."""
    return _standard_deviation(_alone(fused))


def spatial_frequency(fused: npt.ArrayLike) -> float:
    """SF: root of the summed mean squared differences along rows and along columns, in grey levels.

    Source: Eskicioglu and Fisher, IEEE Trans. Communications 43 (1995). The evaluator divides by the number of
    differences, the paper by the number of pixels. Constant: 0.
    """
    return _spatial_frequency(_alone(fused))


def average_gradient(fused: npt.ArrayLike) -> float:
    """AG: mean of sqrt((gx^2 + gy^2) / 2), in grey levels per pixel.

    Source: Cui et al., Optics Communications 341 (2015), there with forward differences; the evaluator takes central
    ones, one-sided at the border. Constant: 0.
    """
    return _average_gradient(_alone(fused))


def mutual_information(fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> float:
    """MI: mutual information of fused and visible plus that of fused and thermal, of whole grey levels.

    Source: Qu, Zhang, Yan, Electronics Letters 38 (2002). As in the evaluator it is in nats, where many papers mean
    bits (1.44 times as much), and grows with the entropy of the sources. A constant fused image: 0.
    """
    return _mutual_information(_scene(fused, visible, thermal))


def correlations_of_differences(fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> float:
    """SCD: r(fused - visible, thermal) + r(fused - thermal, visible), with Pearson's r; -2..2.

    Source: Aslantas and Bendes, AEU - Int. J. Electronics and Communications 69 (2015). Where a source or a
    difference is constant, its term is 0.
    """
    return _correlations_of_differences(_scene(fused, visible, thermal))


def visual_information_fidelity(fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> float:
    """VIF: vifp(fused, visible) + vifp(fused, thermal); four scales, noise variance 2; images of 41x41 or more.

    Source: Sheikh and Bovik, IEEE Trans. Image Processing 15 (2006), pixel domain. The evaluator calls the sum VIFF,
    but it is not the fusion measure of that name (Han et al. 2013). Of a constant source (no information to keep) the
    term is 1, as in the evaluator; of one that varies by a level or two, rounding may show in the fifth digit.
    """
    return _visual_information_fidelity(_scene(fused, visible, thermal))


def edge_preservation(fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> float:
    """Qabf: share of the sources' edge strength and orientation found in the fused image; 0..1.

    Source: Xydeas and Petrovic, Electronics Letters 36 (2000), with L = 1. To be questioned in the evaluator, and
    followed: equal strengths count by the strength itself, not as a ratio of 1; orientations 179 degrees apart
    count as opposed, not as 1 apart; the image is continued by black, so its border is an edge.
    Sources black throughout (no edge, not even there): 0.
    """
    return _edge_preservation(_scene(fused, visible, thermal))


def structural_similarity(fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> float:
    """SSIM: SSIM(fused, visible) + SSIM(fused, thermal); at most 2; images of 7x7 or more.

    Source: Wang et al., IEEE Trans. Image Processing 13 (2004), with uniform 7x7 windows where they fit, sample
    covariances and a data range of 255. The evaluator leaves the range to scikit-image, some versions of which took
    2 for float images: published figures may be lower. Constant images are compared by their means.
    """
    return _structural_similarity(_scene(fused, visible, thermal))


def fusion_artefacts(fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> float:
    """Nabf: weight of edges the fused image adds to both sources; 0 (best) to 1.

    Source: modified fusion artefacts, B. K. Shreyamsha Kumar, "Multifocus and multispectral image fusion based on
    pixel significance using discrete cosine harmonic wavelet transform", Signal, Image and Video Processing 7 (2013),
    with that author's constants, mirrored border and Sobel responses over 8. A constant fused image: 0.
    """
    return _fusion_artefacts(_scene(fused, visible, thermal))


def correlation(fused: npt.ArrayLike, *, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> float:
    """CC: mean of Pearson's r(fused, visible) and r(fused, thermal); -1..1. A term with a constant image is 0."""
    return _correlation(_scene(fused, visible, thermal))


@dataclass(frozen=True)
class _Scene:
    """One comparison: fused, visible and thermal [3,H,W], and what several figures need of them, made once."""

    images: npt.NDArray[np.float64]

    @property
    def fused(self) -> npt.NDArray[np.float64]:
        fused: npt.NDArray[np.float64] = self.images[0]
        return fused

    @cached_property
    def joint_histograms(self) -> list[_levels.Counts]:
        fused, *sources = np.rint(self.images).astype(np.uint8)
        return [_levels.joint_histogram(fused, source) for source in sources]

    @cached_property
    def moments(self) -> _levels.Moments:
        return _levels.second_moments(self.images)

    @cached_property
    def planes(self) -> _windows.Planes:
        planes: _windows.Planes = _windows.products(self.images)
        return planes

    def need(self, name: str) -> None:
        height, width = self.fused.shape
        side_px = SMALLEST_SIDE_PX[name]
        if min(height, width) < side_px:
            raise UsageError(
                f"{name} needs images of at least {side_px}x{side_px} pixels and got {width}x{height}",
                remedy=f"use larger images, or leave {name} out",
            )


def _checked(name: str, image: npt.ArrayLike) -> npt.NDArray[np.generic]:
    given = np.asarray(image)
    if given.ndim != 2 or given.size == 0:
        raise UsageError(f"{name} has shape {given.shape}, not [H,W]", remedy="give luma, without a channel axis")
    if given.dtype.kind not in "uif":
        raise UsageError(f"{name} has type {given.dtype}, not a real number", remedy="give grey levels 0..255")
    if given.dtype != np.uint8 and not (given.min() >= 0 and given.max() <= 255):
        raise UsageError(f"{name} has levels outside 0..255, or NaN", remedy="scale it to grey levels 0..255")
    return given


def _scene(fused: npt.ArrayLike, visible: npt.ArrayLike, thermal: npt.ArrayLike) -> _Scene:
    images = [_checked("fused", fused), _checked("visible", visible), _checked("thermal", thermal)]
    if len({image.shape for image in images}) > 1:
        shapes = ", ".join(str(image.shape) for image in images)
        raise UsageError(f"fused, visible and thermal differ in shape: {shapes}", remedy="bring them to one size")
    return _Scene(np.stack(images, dtype=np.float64))


def _alone(fused: npt.ArrayLike) -> _Scene:
    return _scene(fused, fused, fused)


def _entropy(scene: _Scene) -> float:
    return _levels.entropy_bits(scene.joint_histograms[0].sum(axis=1))


def _standard_deviation(scene: _Scene) -> float:
    return math.sqrt(scene.moments.f)


def _spatial_frequency(scene: _Scene) -> float:
    scene.need("SF")
    return math.sqrt(sum(_edges.difference_energies(scene.fused)))


def _average_gradient(scene: _Scene) -> float:
    scene.need("AG")
    return float(_edges.mean_gradient(scene.fused))


def _mutual_information(scene: _Scene) -> float:
    return sum(map(_levels.mutual_information_nats, scene.joint_histograms))


def _correlations_of_differences(scene: _Scene) -> float:
    m = scene.moments
    of_thermal = _levels.correlation(m.f_less_v_with_t, m.f_less_v, m.t)
    return of_thermal + _levels.correlation(m.f_less_t_with_v, m.f_less_t, m.v)


def _visual_information_fidelity(scene: _Scene) -> float:
    scene.need("VIF")
    return _windows.fidelity(scene.planes)


def _edge_preservation(scene: _Scene) -> float:
    kept, available = _edges.edges_kept(scene.images)
    return float(kept / available) if available > 0 else 0.0


def _structural_similarity(scene: _Scene) -> float:
    scene.need("SSIM")
    return float(_windows.similarity(scene.planes))


def _fusion_artefacts(scene: _Scene) -> float:
    scene.need("Nabf")
    added, available = _edges.artefacts(scene.images)
    return float(added / available)


def _correlation(scene: _Scene) -> float:
    m = scene.moments
    return (_levels.correlation(m.f_with_v, m.f, m.v) + _levels.correlation(m.f_with_t, m.f, m.t)) / 2


_METRICS: dict[str, Callable[[_Scene], float]] = {
    "EN": _entropy,
    "SD": _standard_deviation,
    "SF": _spatial_frequency,
    "AG": _average_gradient,
    "MI": _mutual_information,
    "SCD": _correlations_of_differences,
    "VIF": _visual_information_fidelity,
    "Qabf": _edge_preservation,
    "SSIM": _structural_similarity,
    "Nabf": _fusion_artefacts,
    "CC": _correlation,
}

METRICS = tuple(_METRICS)
"""Names of the figures ``fusion_metrics`` computes, in its order."""

SMALLEST_SIDE_PX = {"VIF": 41, "SSIM": 7, "SF": 2, "AG": 2, "Nabf": 2}
"""The shortest side a figure can be computed of; one pixel for those not named."""

LOWER_IS_BETTER = ("Nabf",)
"""Of all others more is better."""
