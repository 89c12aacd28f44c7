"""Pictures the world is painted with, made once from fixed seeds: noise, ground, trees, and the head lamps' beam."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SIDE = 512
"""Side of the ground and noise textures, in texels."""

TEXEL_M = 1 / 64
"""Size of a ground texel on the road."""

GROUND_LEVELS = 9
LAMP_HEIGHT_M, LAMP_AHEAD_M = 0.65, 1.2
"""Where the own head lamps are: above the road, and ahead of the cameras."""

BEAM_AZIMUTHS, BEAM_ELEVATIONS = 129, 129
BEAM_MAX_AZIMUTH, BEAM_MAX_ELEVATION = 1.3, 0.5
"""The beam table covers tangents of +-1.3 sideways (evenly) and +-0.5 upwards (by square root, dense at 0)."""

LAMP_ASIDE_M = 1.3
"""How far the lamps' rays pass from the cameras' at the closest, so that no fog is lit without bounds."""

BACKSCATTER = 0.05
"""Share of light that fog scatters back, against a white wall's."""

VEIL_SLOPES, VEIL_DEPTHS = 64, 64
VEIL_MAX_SLOPE, VEIL_MAX_DEPTH_M = 0.6, 120.0

PICTURE_SIDE, PICTURE_LAYERS, PICTURE_LEVELS = 256, 6, 5
BUSH = 5
"""Layer of the bush; those before it are trees."""


def _noise(rng: np.random.Generator, exponent: float, stretch: float) -> npt.NDArray[np.float64]:
    """Tileable noise of mean 0 and deviation 1: spectrum 1/f^exponent, ``stretch`` times longer along axis 0."""
    along, across = np.meshgrid(np.fft.fftfreq(SIDE) * stretch, np.fft.fftfreq(SIDE), indexing="ij")
    frequency = np.hypot(along, across)
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.standard_normal((SIDE, SIDE))) / frequency**exponent
    spectrum[0, 0] = 0.0
    field = np.fft.ifft2(spectrum).real
    return np.asarray(field / field.std())


def _smoothed(field: npt.NDArray[np.float64], along: float, across: float) -> npt.NDArray[np.float64]:
    """The field blurred by Gaussians of these deviations (texels), wrapping round."""
    frequency = np.fft.fftfreq(SIDE)
    weights = np.outer(np.exp(-2 * (np.pi * frequency * along) ** 2), np.exp(-2 * (np.pi * frequency * across) ** 2))
    return np.asarray(np.fft.ifft2(np.fft.fft2(field) * weights).real)


def _levels(field: npt.NDArray[np.float64], gain: float) -> Bytes:
    """[9, 512, 512]: the field as seen from farther and farther, blurred ever more along the road than across it."""
    sizes = [(0.3 * 2**level, 0.3 * 2 ** (level / 2)) for level in range(GROUND_LEVELS)]
    blurred = [field if level == 0 else _smoothed(field, *size) for level, size in enumerate(sizes)]
    return np.stack([np.clip(128 + gain * each, 0, 255).astype(np.uint8) for each in blurred])


@lru_cache(maxsize=1)
def ground() -> Bytes:
    """[2, 9, 512, 512] asphalt and grass, 8 m x 8 m, axis 2 along the road; 128 is the mean."""
    rng = np.random.default_rng(1)
    stones = 0.75 * _noise(rng, 0.3, 1) + 0.45 * _noise(rng, 1.1, 1) + 0.5 * _noise(rng, 1.2, 6)
    blades = 0.8 * _noise(rng, 0.7, 0.7) + 0.8 * _noise(rng, 1.3, 1.0)
    return np.stack([_levels(stones, 40), _levels(blades, 45)])


@lru_cache(maxsize=1)
def clouds() -> Floats:
    """[512, 512] soft tileable noise of mean 0 and deviation 1, for clouds and large stains."""
    return _noise(np.random.default_rng(2), 1.9, 1).astype(np.float32)


@lru_cache(maxsize=1)
def skyline() -> Floats:
    """[1024] tangent of the elevation up to which distant woods hide the sky, by azimuth; wraps round."""
    rng = np.random.default_rng(3)
    frequency = np.fft.rfftfreq(1024, 1 / 1024)
    spectrum = (rng.standard_normal(513) + 1j * rng.standard_normal(513)) / np.maximum(frequency, 6) ** 1.25
    line = np.fft.irfft(spectrum)
    return np.asarray(0.022 + 0.008 * line / line.std(), np.float32).clip(0.006)


@lru_cache(maxsize=1)
def stars() -> Floats:
    """[400, 3] azimuth -1..1 radians, tangent of elevation, radiance of a pixel."""
    rng = np.random.default_rng(5)
    power = 0.02 * rng.pareto(1.3, 400).clip(0.2, 12)
    return np.stack([rng.uniform(-1.0, 1.0, 400), rng.uniform(0.06, 0.7, 400), power], axis=1).astype(np.float32)


@lru_cache(maxsize=1)
def pictures() -> Bytes:
    """[30, 256, 256], five times six sheets: opacity of five trees and a bush, each level half as sharp."""
    rng = np.random.default_rng(4)
    drawn = [_bare_tree(rng), _leafy_tree(rng), _conifer(rng), _leafy_tree(rng), _bare_tree(rng), _bush(rng)]
    levels = [np.stack(drawn)]
    for _ in range(PICTURE_LEVELS - 1):
        levels.append(np.stack([cv2.blur(each, (2 ** len(levels), 2 ** len(levels))) for each in drawn]))
    return np.concatenate(levels)


def _bare_tree(rng: np.random.Generator) -> Bytes:
    canvas = np.zeros((PICTURE_SIDE, PICTURE_SIDE), np.uint8)
    _branch(canvas, rng, (128.0, 255.0), (-np.pi / 2, 62.0, 9.0))
    return canvas


def _branch(
    canvas: Bytes, rng: np.random.Generator, start: tuple[float, float], shape: tuple[float, float, float]
) -> None:
    """A branch of (direction, length, thickness) in pixels, and what grows from it."""
    direction, length, thickness = shape
    end = (start[0] + length * np.cos(direction), start[1] + length * np.sin(direction))
    points = [tuple(int(16 * value) for value in point) for point in (start, end)]
    cv2.line(canvas, points[0], points[1], 255, max(1, round(thickness)), cv2.LINE_AA, 4)
    if length < 7:
        return
    for side in (-1, 1, *([0] if length > 20 else [])):
        turn = side * rng.uniform(0.3, 0.7) + rng.normal(0, 0.12)
        _branch(canvas, rng, end, (direction + turn, length * rng.uniform(0.66, 0.8), thickness * 0.66))


def _leaves(canvas: Bytes, rng: np.random.Generator, box: tuple[float, float, float, float], count: int) -> None:
    """``count`` tufts of leaves in the ellipse (centre x, centre y, half width, half height)."""
    angle, reach = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    ragged = reach * (1 + 0.12 * np.sin(5 * angle + rng.uniform(0, 6)) + rng.normal(0, 0.05, count))
    for x, y, size in zip(
        box[0] + box[2] * ragged * np.cos(angle),
        box[1] + box[3] * ragged * np.sin(angle),
        rng.uniform(1.5, 5.5, count),
        strict=True,
    ):
        cv2.circle(canvas, (int(16 * x), int(16 * y)), int(16 * size), 255, -1, cv2.LINE_AA, 4)


def _leafy_tree(rng: np.random.Generator) -> Bytes:
    canvas = np.zeros((PICTURE_SIDE, PICTURE_SIDE), np.uint8)
    _branch(canvas, rng, (128.0, 255.0), (-np.pi / 2, 58.0, 12.0))
    for _ in range(7):
        x, y = rng.uniform(75, 181), rng.uniform(60, 150)
        _leaves(canvas, rng, (x, y, rng.uniform(30, 50), rng.uniform(26, 44)), 190)
    return canvas


def _conifer(rng: np.random.Generator) -> Bytes:
    canvas = np.zeros((PICTURE_SIDE, PICTURE_SIDE), np.uint8)
    cv2.line(canvas, (128, 255), (128, 20), 255, 7, cv2.LINE_AA)
    for tier in range(16):
        y, half = 20 + 13.2 * tier, 8 + 4.6 * tier
        _leaves(canvas, rng, (128, y + 6, half, 9), 40 + 9 * tier)
    return canvas


def _bush(rng: np.random.Generator) -> Bytes:
    canvas = np.zeros((PICTURE_SIDE, PICTURE_SIDE), np.uint8)
    for _ in range(9):
        _leaves(canvas, rng, (rng.uniform(50, 206), rng.uniform(150, 230), 45, rng.uniform(35, 70)), 260)
    return canvas


@lru_cache(maxsize=1)
def picture_spans() -> npt.NDArray[np.int32]:
    """[6 layers, 256 rows, 2] first and last+1 column of each picture's row that is not clear, at its bluntest."""
    seen = pictures()[-PICTURE_LAYERS:] > 0
    first, last = seen.argmax(axis=2), PICTURE_SIDE - seen[:, :, ::-1].argmax(axis=2)
    any_seen = seen.any(axis=2)
    return np.stack([np.where(any_seen, first, PICTURE_SIDE), np.where(any_seen, last, 0)], axis=2).astype(np.int32)


@lru_cache(maxsize=1)
def beam() -> Floats:
    """[129 elevations, 129 azimuths] intensity of the own low beam, 1 at its brightest.

    Cut off just below the horizon, with the usual rise towards the kerb (right), as in ECE R112.
    """
    azimuth = np.linspace(-BEAM_MAX_AZIMUTH, BEAM_MAX_AZIMUTH, BEAM_AZIMUTHS)[None, :]
    root = np.linspace(-1, 1, BEAM_ELEVATIONS)[:, None]
    elevation = BEAM_MAX_ELEVATION * root * np.abs(root)
    cutoff = -0.011 + np.clip(0.25 * azimuth, 0, 0.022) * np.exp(-((azimuth / 0.3) ** 2))
    below = 1 / (1 + np.exp(np.clip((elevation - cutoff) / 0.0035, -60, 60)))
    fall = (0.03 / np.maximum(cutoff + 0.03 - elevation, 0.03)) ** 2.7
    spread = 0.72 * np.exp(-(((azimuth - 0.02) / 0.17) ** 2)) + 0.28 * np.exp(-((azimuth / 0.5) ** 2))
    stray = 0.012 * np.exp(-((azimuth / 0.4) ** 2) - (np.maximum(elevation, 0) / 0.15))
    return np.asarray(below * fall * spread + stray, np.float32)


@lru_cache(maxsize=8)
def veil(extinction: float, camera_height_m: float) -> Floats:
    """[64 slopes, 64 depths] own head-lamp light that fog throws back along a ray of slope -0.6..0.6, up to a depth.

    Single scattering: the integral over z of extinction * I(direction of the lamps' ray) / z^2 * exp(-2 extinction z)
    times BACKSCATTER, straight ahead; depths are 0..120 m, by square root.
    """
    slopes = np.linspace(-VEIL_MAX_SLOPE, VEIL_MAX_SLOPE, VEIL_SLOPES)[:, None]
    z = (VEIL_MAX_DEPTH_M * np.linspace(0, 1, VEIL_DEPTHS * 8) ** 2)[None, :]
    ahead = np.maximum(z - LAMP_AHEAD_M, 0.3)
    elevation = np.clip((camera_height_m - LAMP_HEIGHT_M + slopes * z) / ahead, -0.5, 0.5)
    row = (BEAM_ELEVATIONS - 1) / 2 * (1 + np.sign(elevation) * np.sqrt(np.abs(elevation) / BEAM_MAX_ELEVATION))
    lit = beam()[np.rint(row).astype(int), BEAM_AZIMUTHS // 2] * (z > LAMP_AHEAD_M + 0.3)
    scattered = BACKSCATTER * extinction * lit / (ahead**2 + LAMP_ASIDE_M**2) * np.exp(-2 * extinction * z)
    total = np.cumsum(scattered * np.gradient(z[0])[None, :], axis=1)
    return np.asarray(total[:, ::8], np.float32)
