"""From radiance to what the cameras deliver: bloom, vignetting, noise and tone; blur, stripes and counts."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive.canvas import canvas
from runtime.capture.night_drive.project import compiled

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint16]
Size = tuple[int, int]

COUNTS_PER_CELSIUS, COUNTS_AT_ZERO = 40.0, 7600.0
_TONES = 4096
_WHITE = 4.0
_SHOT, _READ = 1.0e-4, 0.7e-6
"""Noise variance per radiance, and without light."""

_OFFSET = np.float32(_READ / _SHOT)
_DEVIATION = np.float32(0.5 * np.sqrt(_SHOT))
"""Noise of sqrt(radiance + _OFFSET): the same at every radiance (Anscombe's transform)."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_TONE_STEP, _TONE_LAST = np.float32((_TONES - 1) / np.sqrt(_WHITE + _READ / _SHOT)), np.float32(_TONES - 1)


@lru_cache(maxsize=1)
def _tone() -> Bytes:
    """[4096] output byte by sqrt(radiance + _OFFSET): a shoulder for the lights, then sRGB's power law."""
    radiance = np.maximum((np.arange(_TONES) / float(_TONE_STEP)) ** 2 - float(_OFFSET), 0)
    shown = np.clip(1.06 * (1 - np.exp(-1.9 * radiance)), 0, 1)
    return np.rint(255 * shown ** (1 / 2.2)).astype(np.uint8)


@lru_cache(maxsize=8)
def _vignette(size_px: Size) -> Floats:
    """[H, W] darkening towards the corners, cos^4 of a wide lens."""
    x = np.linspace(-1, 1, size_px[0])[None, :]
    y = np.linspace(-1, 1, size_px[1])[:, None] * size_px[1] / size_px[0]
    return np.asarray(1 / (1 + 0.32 * (x * x + y * y)) ** 2, np.float32)


@lru_cache(maxsize=16)
def _stripes(seed: int, size_px: Size) -> Floats:
    """[H, W] counts of a thermal sensor's fixed pattern: columns, rows a little, pixels."""
    rng = np.random.default_rng([seed, 77])
    columns, rows = rng.normal(0, 3.2, (1, size_px[0])), rng.normal(0, 0.9, (size_px[1], 1))
    return np.asarray(columns + rows + rng.normal(0, 2.4, size_px[::-1]), np.float32)


@compiled
def _scramble(value):
    """A well mixed 32-bit number (Wellons' lowbias32)."""
    # numba widens the products: each is cut back to 32 bits.
    value = np.uint32((value ^ (value >> np.uint32(16))) * np.uint32(0x7FEB352D))
    value = np.uint32((value ^ (value >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(value ^ (value >> np.uint32(16)))


@compiled
def _normal(bits):
    """Nearly normal, deviation 1: the sum of four bytes, centred."""
    total = (bits & np.uint32(255)) + ((bits >> np.uint32(8)) & np.uint32(255))
    total += ((bits >> np.uint32(16)) & np.uint32(255)) + (bits >> np.uint32(24))
    return (np.float32(total) - np.float32(510)) * np.float32(1 / 147.8)


@compiled
def _develop(image, bloom, vignette, tone, key, out):
    height, width = vignette.shape
    for y in range(height):
        for x in range(width):
            bits = _scramble(np.uint32(y * width + x) ^ key)
            # Luminance noise shared by the colours, and a share of each one's own.
            common = _normal(bits) * _DEVIATION
            colours = _scramble(bits)
            for c in range(3):
                light = (image[y, x, c] + bloom[y, x, c]) * vignette[y, x]
                own = np.float32((colours >> np.uint32(10 * c)) & np.uint32(1023)) * np.float32(2 / 1023) - _ONE
                root = np.sqrt(light + _OFFSET) + common + np.float32(1.3) * _DEVIATION * own
                out[y, x, c] = tone[int(min(max(root * _TONE_STEP, _ZERO), _TONE_LAST))]


@compiled
def _digitise(image, stripes, key, deviation, out):
    height, width = image.shape
    for y in range(height):
        for x in range(width):
            noise = _normal(_scramble(np.uint32(y * width + x) ^ key)) * deviation
            counts = image[y, x] * np.float32(COUNTS_PER_CELSIUS) + np.float32(COUNTS_AT_ZERO) + stripes[y, x] + noise
            out[y, x] = np.uint16(min(max(counts + np.float32(0.5), _ZERO), np.float32(16383)))


def _key(seed: int, index: int, camera: int) -> np.uint32:
    """A number for the noise of one frame of one camera."""
    key: np.uint32 = np.random.SeedSequence([seed, index, camera]).generate_state(1)[0]
    return key


def _halved(image: Floats) -> Floats:
    size = (max(image.shape[1] // 2, 1), max(image.shape[0] // 2, 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _bloom(image: Floats, fog: float) -> Floats:
    """Light that lens and fog spread round bright lamps, [H, W, 4]."""
    small = _halved(_halved(image))
    tiny = _halved(_halved(small))
    near = cv2.GaussianBlur(small, (9, 9), 1.6)
    wide = cv2.resize(cv2.GaussianBlur(tiny, (13, 13), 2.2), small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    total = cv2.addWeighted(near, 0.05 + 0.05 * fog, wide, 0.022 + 0.10 * fog, 0.0)
    size = (image.shape[1], image.shape[0])
    cv2.resize(total, size, dst=canvas("bloom", size, 4), interpolation=cv2.INTER_LINEAR)
    return canvas("bloom", size, 4)


def visible(image: Floats, out: Bytes, *, seed: int, index: int, fog: float) -> None:
    """Linear radiance [H, W, 4], the last of no account, to RGB bytes [H, W, 3]."""
    size = (image.shape[1], image.shape[0])
    _develop(image, _bloom(image, fog), _vignette(size), _tone(), _key(seed, index, 0), out)


def thermal(image: Floats, out: Counts, *, seed: int, index: int) -> None:
    """Apparent degrees Celsius [H, W, 2], the second of no account, to 14-bit counts [H, W]."""
    soft = cv2.GaussianBlur(image[:, :, 0], (0, 0), 0.55)
    stripes = _stripes(seed, (image.shape[1], image.shape[0]))
    _digitise(soft, stripes, _key(seed, index, 1), np.float32(3.5), out)
