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
AGC_LOW, AGC_HIGH = 7050, 8900
"""The counts that a thermal camera's fixed 8-bit output shows as 0 and 255."""

_TONES = 4096
_WHITE = 4.0
_SHOT, _READ = 1.0e-4, 0.7e-6
"""Noise variance per radiance, and without light."""

_OFFSET = np.float32(_READ / _SHOT)
_DEVIATION = np.float32(0.5 * np.sqrt(_SHOT))
"""Noise of sqrt(radiance + _OFFSET): the same at every radiance (Anscombe's transform)."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_BYTE, _QUARTER = np.float32(1 / 255), np.float32(0.25)
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


def visible(image: Floats, *, seed: int, index: int, fog: float) -> Bytes:
    """Linear radiance [H, W, 4], the last of no account, to RGB bytes [H, W, 3]."""
    out = np.empty((*image.shape[:2], 3), np.uint8)
    size = (image.shape[1], image.shape[0])
    _develop(image, _bloom(image, fog), _vignette(size), _tone(), _key(seed, index, 0), out)
    return out


def thermal(image: Floats, *, seed: int, index: int) -> Counts:
    """Apparent degrees Celsius [H, W, 2], the second of no account, to 14-bit counts [H, W]."""
    out = np.empty(image.shape[:2], np.uint16)
    soft = cv2.GaussianBlur(image[:, :, 0], (0, 0), 0.55)
    stripes = _stripes(seed, (image.shape[1], image.shape[0]))
    _digitise(soft, stripes, _key(seed, index, 1), np.float32(3.5), out)
    return out


@compiled
def _convert_to_nv12(rgb, height, out):
    """BT.601: luma 16..235 of each pixel, chroma 16..240 of the mean of each two by two."""
    for y in range(0, height, 2):
        for x in range(0, rgb.shape[1], 2):
            red, green, blue = _ZERO, _ZERO, _ZERO
            for dy in range(2):
                for dx in range(2):
                    r, g, b = rgb[y + dy, x + dx, 0], rgb[y + dy, x + dx, 1], rgb[y + dy, x + dx, 2]
                    luma = np.float32(65.481) * r + np.float32(128.553) * g + np.float32(24.966) * b
                    out[y + dy, x + dx] = np.uint8(luma * _BYTE + np.float32(16.5))
                    red, green, blue = red + r * _QUARTER, green + g * _QUARTER, blue + b * _QUARTER
            cb = np.float32(-37.797) * red - np.float32(74.203) * green + np.float32(112) * blue
            cr = np.float32(112) * red - np.float32(93.786) * green - np.float32(18.214) * blue
            out[height + y // 2, x] = np.uint8(cb * _BYTE + np.float32(128.5))
            out[height + y // 2, x + 1] = np.uint8(cr * _BYTE + np.float32(128.5))


def to_nv12(rgb: Bytes) -> Bytes:
    """RGB [H, W, 3] to NV12 [H * 3 / 2, W], BT.601 limited range."""
    height, width = rgb.shape[:2]
    out = np.empty((height * 3 // 2, width), np.uint8)
    _convert_to_nv12(rgb, height, out)
    return out


def to_grey(counts: Counts) -> Bytes:
    """14-bit counts to the 8 bits of a camera with a fixed AGC."""
    scaled = (counts.astype(np.float32) - AGC_LOW) * (255 / (AGC_HIGH - AGC_LOW))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)
