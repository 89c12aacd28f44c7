"""Training crops from paired recordings, prepared by the kernels the vehicle runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import FramePair
from edgefusion.core.pairs import load_split
from edgefusion.kernels.agc import Agc, AgcSpec
from edgefusion.kernels.cpu import Pack, shuffle, tensor_size
from edgefusion.recordings.recording import open_recording

CLIP_STRIDE = 10
"""Every tenth frame of a clip is a training image; the ones between are nearly the same."""

LICENCES = {
    "m3svd": "MIT",
    "roadscene": "none stated",
    "msrs": "none stated",
    "tno": "academic use",
    "m3fd": "academic use",
}
"""What the owners of the data sets state."""

Images = npt.NDArray[np.float16]


def prepare(pair: FramePair, agc: AgcSpec) -> Images:
    """[2, H, W] luma and normalised thermal in 0..1, H and W padded to multiples of four."""
    width, height = tensor_size(pair.visible.size_px)
    x = np.empty((32, height // 4, width // 4), np.float32)
    low, high = Agc(agc, pair.thermal.format).range(pair.thermal)
    visible, thermal = ((frame.format, frame.size_px) for frame in (pair.visible, pair.thermal))
    Pack(visible, thermal, registration=np.eye(3))(pair, x, low=low, high=high)
    return np.stack([shuffle(x[:16]), shuffle(x[16:])]).astype(np.float16)


def load_training_images(data: Path, split: str, agc: AgcSpec) -> list[Images]:
    """Every pair of a split, and every ``CLIP_STRIDE``-th frame pair of its clips."""
    return [image for _, image in named_images(data, split, agc)]


def named_images(data: Path, split: str, agc: AgcSpec) -> Iterator[tuple[str, Images]]:
    """The same with their names: ``SET/NAME``, or ``m3svd/K`` for the k-th frame taken from the clips."""
    for pair in load_split(data, split):
        yield pair.name, prepare(pair.load(), agc)
    for index, frames in enumerate(_clip_frames(data, split)):
        yield f"m3svd/{index}", prepare(frames, agc)


class CropSampler:
    """Random square crops; batch ``step`` is the same whatever was drawn before it.

    Args:
        images: [2, H, W] each.
        size: side of a crop in pixels, a multiple of four.
        batch: crops per batch.
        seed: of the whole run.
        degraded: put some of them into the night, and cut some of the thermal off.
    """

    def __init__(self, images: list[Images], *, size: int, batch: int, seed: int, degraded: bool = True) -> None:
        self._images = [image for image in images if min(image.shape[1:]) >= size]
        self._size, self._batch, self._seed, self._degraded = size, batch, seed, degraded
        areas = np.array([image[0].size for image in self._images], np.float64)
        self._odds = np.sqrt(areas) / np.sqrt(areas).sum()

    def batch(self, step: int) -> npt.NDArray[np.float32]:
        """[N, 2, size, size] for one training step."""
        draw = np.random.default_rng((self._seed, step))
        chosen = draw.choice(len(self._images), self._batch, p=self._odds)
        return np.stack([self._crop(self._images[index], draw) for index in chosen])

    def _crop(self, image: Images, draw: np.random.Generator) -> npt.NDArray[np.float32]:
        top, left = (int(draw.integers(0, side - self._size + 1)) for side in image.shape[1:])
        crop = image[:, top : top + self._size, left : left + self._size].astype(np.float32)
        turned = _turn(crop, draw)
        return np.ascontiguousarray(_degrade(turned, draw) if self._degraded else turned)


def sources(data: Path, split: str) -> list[dict[str, Any]]:
    """What a split is made of, for the manifest: name, number of pairs, and the licence its owners state."""
    counts = Counter(pair.name.partition("/")[0] for pair in load_split(data, split))
    counts["m3svd"] = sum(1 for _ in _clip_frames(data, split))
    return [
        {"name": name, "pairs": count, "licence": LICENCES.get(name, "unknown")}
        for name, count in counts.items()
        if count
    ]


def _clip_frames(data: Path, split: str) -> Iterator[FramePair]:
    clips = json.loads((data / "splits.json").read_text())[split].get("m3svd_clips", [])
    folder = data / "recordings" / "m3svd"
    for clip in clips:
        recording = open_recording(folder / "visible" / f"{clip}.mp4", folder / "thermal" / f"{clip}.mp4")
        yield from (pair for index, pair in enumerate(recording) if index % CLIP_STRIDE == 0)


def _turn(crop: npt.NDArray[np.float32], draw: np.random.Generator) -> npt.NDArray[np.float32]:
    crop = crop[:, :, :: draw.choice((-1, 1))]
    return crop.transpose(0, 2, 1) if draw.random() < 0.25 else crop


def _degrade(crop: npt.NDArray[np.float32], draw: np.random.Generator) -> npt.NDArray[np.float32]:
    """Night, other exposures, and thermal that covers only part of the visible image."""
    if draw.random() < 0.3:
        crop[0] = crop[0] ** draw.uniform(0.8, 2.0) * draw.uniform(0.3, 1.0)
    if draw.random() < 0.2:
        crop[1] = crop[1] * draw.uniform(0.5, 1.0)
    if draw.random() < 0.1:
        edge = int(draw.integers(0, crop.shape[2]))
        crop[1, :, :edge] = 0
    return crop
