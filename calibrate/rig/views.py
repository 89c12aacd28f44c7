"""Frames as the detectors take them: one channel, 8 bits, contrast brought out; thermal may be faint or turned over."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import Frame, PixelFormat, Pixels
from edgefusion.core.geometry import Registration, apply, inverse

NOISE_SHARE = 0.2
"""Of white noise, a blur by two pixels leaves a seventh."""

Bytes = npt.NDArray[np.uint8]
Preparation = Callable[[Bytes], Bytes]

TAILS = (0.5, 99.5)
"""Percentiles that become black and white: a dead pixel or a spot of sun must not set the range."""


def grey(frame: Frame) -> Pixels:
    """[H, W] luma or thermal reading of a frame of any format, in its own range; a copy."""
    pixels = frame.readings
    if frame.format is PixelFormat.RGB24:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    if frame.format is PixelFormat.NV12:
        pixels = pixels[: frame.size_px[1]]
    elif frame.format in (PixelFormat.YUYV, PixelFormat.UYVY):
        pixels = pixels[..., 0 if frame.format is PixelFormat.YUYV else 1]
    own: Pixels = pixels.copy()
    return own


def stretch(plane: npt.NDArray[np.generic]) -> Bytes:
    """[H, W] of any range as 8 bits, its tails cut."""
    values = plane.astype(np.float32)
    low, high = np.percentile(values[::2, ::2], TAILS)
    scaled = (values - low) * (255 / max(float(high - low), 1e-6))
    return np.asarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8))


def straightened(thermal: Pixels, registration: Registration) -> Pixels:
    """[h, w] thermal as it would be if the registration's homography were all of it; 0 where nothing was seen."""
    if registration.bend is None:
        return thermal
    size = thermal.shape[1], thermal.shape[0]
    pixels = np.stack(np.meshgrid(*map(np.arange, size)), -1).reshape(-1, 2)
    at = pixels + registration.bend.at(apply(inverse(registration.matrix), pixels))
    x, y = at.T.astype(np.float32).reshape(2, size[1], size[0])
    straight: Pixels = np.empty_like(thermal)
    cv2.remap(thermal, x, y, cv2.INTER_LINEAR, dst=straight)
    return straight


def same(image: Bytes) -> Bytes:
    """As it is."""
    return image


def inverted(image: Bytes) -> Bytes:
    """Dark for bright."""
    return np.asarray(255 - image, np.uint8)


def local(image: Bytes, *, blur_px: float = 0.7) -> Bytes:
    """Contrast by the neighbourhood: a board a little warmer than the air, beside a hand."""
    values = image.astype(np.float32)
    sigma = max(image.shape) / 24
    flat = values - cv2.GaussianBlur(values, (0, 0), sigma)
    spread = np.sqrt(cv2.GaussianBlur(flat * flat, (0, 0), sigma)) + 4.0
    smooth = cv2.GaussianBlur(flat / spread, (0, 0), blur_px)
    return np.asarray(np.clip(128 + 70 * smooth, 0, 255).astype(np.uint8))


def soft(image: Bytes) -> Bytes:
    """The same where the noise is not much less than the contrast."""
    return local(np.asarray(cv2.GaussianBlur(image, (0, 0), 1.6), np.uint8), blur_px=1.0)


def inverted_local(image: Bytes) -> Bytes:
    """Both."""
    return inverted(local(image))


def inverted_soft(image: Bytes) -> Bytes:
    """Both."""
    return inverted(soft(image))


EITHER: tuple[Preparation, ...] = (same, local, soft)
"""For detectors that do not mind which part of the pattern is the brighter one."""

PREPARATIONS: tuple[Preparation, ...] = (same, inverted, local, inverted_local, soft, inverted_soft)
"""For those that do."""


def is_noise(image: Bytes) -> bool:
    """Whether an image has nothing in it that is larger than a pixel: a lens cap, an even wall."""
    values = image.astype(np.float32)
    smooth = cv2.GaussianBlur(values, (0, 0), 2.0)
    return float(smooth.std()) < NOISE_SHARE * float(values.std())


def sharpness(image: Bytes, points: npt.NDArray[np.float64]) -> float:
    """How sharp an 8-bit image is where the points are: the steepest edges against the contrast there."""
    (left, top), (right, bottom) = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
    part = image[max(top, 0) : bottom + 1, max(left, 0) : right + 1].astype(np.float32)
    across, down = cv2.Sobel(part, cv2.CV_32F, 1, 0), cv2.Sobel(part, cv2.CV_32F, 0, 1)
    low, high = np.percentile(part, (5, 95))
    return float(np.percentile(np.hypot(across, down), 97) / (4 * max(float(high - low), 8.0)))
