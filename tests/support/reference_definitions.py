"""The fusion metrics written out plainly with NumPy and SciPy: slow, and easy to compare with the papers.

`edgefusion.metrics.fusion` is held to these, and these to the figures of the field's evaluator. Every function takes
float64 [H,W] grey levels 0..255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.signal import convolve2d

Image = NDArray[np.float64]

FLAT = 1e-9  # a variance below this is a constant image with rounding noise
SOBEL_X = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=float)
SOBEL_Y = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], dtype=float)


def entropy_bits(fused: Image) -> float:
    share = np.bincount(np.rint(fused).astype(int).ravel(), minlength=256) / fused.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum()) + 0.0


def standard_deviation(fused: Image) -> float:
    return float(fused.std())


def spatial_frequency(fused: Image) -> float:
    rows, columns = np.diff(fused, axis=1), np.diff(fused, axis=0)
    return float(np.sqrt((rows**2).mean() + (columns**2).mean()))


def average_gradient(fused: Image) -> float:
    down, across = np.gradient(fused)
    return float(np.sqrt((across**2 + down**2) / 2).mean())


def mutual_information_nats(fused: Image, source: Image) -> float:
    levels = [np.rint(image).astype(int).ravel() for image in (fused, source)]
    joint = np.histogram2d(*levels, bins=256, range=[[0, 256], [0, 256]])[0] / fused.size
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum())


def correlation(a: Image, b: Image) -> float:
    a, b = a - a.mean(), b - b.mean()
    if (a**2).mean() <= FLAT or (b**2).mean() <= FLAT:
        return 0.0
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def mean_correlation(fused: Image, a: Image, b: Image) -> float:
    return (correlation(fused, a) + correlation(fused, b)) / 2


def correlations_of_differences(fused: Image, a: Image, b: Image) -> float:
    return correlation(fused - b, a) + correlation(fused - a, b)


def gaussian_window(side_px: int) -> Image:
    offset = np.arange(side_px) - (side_px - 1) / 2
    window = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * (side_px / 5) ** 2))
    return window / window.sum()


def vif_scale(source: Image, fused: Image, window: Image) -> tuple[float, float]:
    noise, tiny = 2.0, 1e-10

    def smooth(image: Image) -> Image:
        return convolve2d(image, window, mode="valid")

    mean_s, mean_f = smooth(source), smooth(fused)
    var_s = np.maximum(smooth(source * source) - mean_s**2, 0)
    var_f = np.maximum(smooth(fused * fused) - mean_f**2, 0)
    covariance = smooth(source * fused) - mean_s * mean_f
    gain = covariance / (var_s + tiny)
    rest = var_f - gain * covariance
    flat_s, flat_f = var_s < tiny, var_f < tiny
    gain[flat_s], rest[flat_s], var_s[flat_s] = 0, var_f[flat_s], 0
    gain[flat_f], rest[flat_f] = 0, 0
    opposed = gain < 0
    rest[opposed], gain[opposed] = var_f[opposed], 0
    rest = np.maximum(rest, tiny)
    kept = np.log10(1 + gain**2 * var_s / (rest + noise)).sum()
    return float(kept), float(np.log10(1 + var_s / noise).sum())


def visual_information_fidelity(fused: Image, source: Image) -> float:
    kept = available = 0.0
    for side_px in (17, 9, 5, 3):
        window = gaussian_window(side_px)
        if side_px != 17:
            source = convolve2d(source, window, mode="valid")[::2, ::2]
            fused = convolve2d(fused, window, mode="valid")[::2, ::2]
        one = vif_scale(source, fused, window)
        kept, available = kept + one[0], available + one[1]
    return kept / available if available > 0 else 1.0


def edges(image: Image) -> tuple[Image, Image]:
    gx, gy = convolve2d(image, SOBEL_X, mode="same"), convolve2d(image, SOBEL_Y, mode="same")
    upright = gx == 0
    angle = np.where(upright, np.pi / 2, np.arctan(gy / np.where(upright, 1, gx)))
    return np.sqrt(gx**2 + gy**2), angle


def edge_preservation(strength_s: Image, angle_s: Image, strength_f: Image, angle_f: Image) -> Image:
    weak, strong = np.minimum(strength_s, strength_f), np.maximum(strength_s, strength_f)
    ratio = np.where(weak == strong, weak, weak / np.where(strong == 0, 1, strong))
    agreement = 1 - np.abs(angle_s - angle_f) / (np.pi / 2)
    return 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (agreement - 0.8)))


def qabf(fused: Image, a: Image, b: Image) -> float:
    of_f, of_a, of_b = edges(fused), edges(a), edges(b)
    total = (of_a[0] + of_b[0]).sum()
    kept = (edge_preservation(*of_a, *of_f) * of_a[0] + edge_preservation(*of_b, *of_f) * of_b[0]).sum()
    return float(kept / total) if total > 0 else 0.0


def structural_similarity(fused: Image, source: Image) -> float:
    c1, c2, side_px = (0.01 * 255) ** 2, (0.03 * 255) ** 2, 7
    unbiased = side_px**2 / (side_px**2 - 1)
    mean_f, mean_s = uniform_filter(fused, side_px), uniform_filter(source, side_px)
    var_f = unbiased * (uniform_filter(fused**2, side_px) - mean_f**2)
    var_s = unbiased * (uniform_filter(source**2, side_px) - mean_s**2)
    covariance = unbiased * (uniform_filter(fused * source, side_px) - mean_f * mean_s)
    similarity = (2 * mean_f * mean_s + c1) * (2 * covariance + c2)
    similarity /= (mean_f**2 + mean_s**2 + c1) * (var_f + var_s + c2)
    return float(similarity[3:-3, 3:-3].mean())


def artefact_edges(image: Image) -> tuple[Image, Image]:
    padded = np.pad(image, 1, mode="reflect")
    gv = convolve2d(padded, np.flip(SOBEL_X), mode="valid") / 8
    gh = convolve2d(padded, SOBEL_Y, mode="valid") / 8
    level = gh == 0
    angle = np.where(level, np.sign(gv) * np.pi / 2, np.arctan(gv / np.where(level, 1, gh)))
    return np.sqrt(gv**2 + gh**2), angle


def artefact_preservation(strength_s: Image, angle_s: Image, strength_f: Image, angle_f: Image) -> Image:
    weak, strong = np.minimum(strength_s, strength_f), np.maximum(strength_s, strength_f)
    ratio = weak / np.where(strong == 0, 1, strong)
    agreement = np.abs(np.abs(angle_s - angle_f) - np.pi / 2) * 2 / np.pi
    by_strength = 0.9999 / (1 + np.exp(-19 * (ratio - 0.5)))
    return np.sqrt(by_strength * 0.9995 / (1 + np.exp(-22 * (agreement - 0.5))))


def nabf(fused: Image, a: Image, b: Image) -> float:
    of_f, of_a, of_b = artefact_edges(fused), artefact_edges(a), artefact_edges(b)
    weight_a = np.where(of_a[0] >= 2, of_a[0] ** 1.5, 0.001)
    weight_b = np.where(of_b[0] >= 2, of_b[0] ** 1.5, 0.001)
    artefact = (of_f[0] > of_a[0]) & (of_f[0] > of_b[0])
    lost_a = (1 - artefact_preservation(*of_a, *of_f)) * weight_a
    lost_b = (1 - artefact_preservation(*of_b, *of_f)) * weight_b
    return float((artefact * (lost_a + lost_b)).sum() / (weight_a + weight_b).sum())


def all_metrics(fused: Image, a: Image, b: Image) -> dict[str, float]:
    return {
        "EN": entropy_bits(fused),
        "SD": standard_deviation(fused),
        "SF": spatial_frequency(fused),
        "AG": average_gradient(fused),
        "MI": mutual_information_nats(fused, a) + mutual_information_nats(fused, b),
        "SCD": correlations_of_differences(fused, a, b),
        "VIF": visual_information_fidelity(fused, a) + visual_information_fidelity(fused, b),
        "Qabf": qabf(fused, a, b),
        "SSIM": structural_similarity(fused, a) + structural_similarity(fused, b),
        "Nabf": nabf(fused, a, b),
        "CC": mean_correlation(fused, a, b),
    }
