"""Held-out frame pairs, which a precision is judged on and was not calibrated with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle
from edgefusion.core.calibration import CalibrationSet
from edgefusion.core.errors import InputError
from edgefusion.core.frames import Light, light_of
from edgefusion.core.pairs import find_pairs
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker
from edgefusion.kernels.layout import shuffle

FEWEST = 10
"""Of fewer pairs an interval says nothing: a class of fewer is reported, not gated."""

BLOCK_S = 1.0
"""Frames within this time of each other are not independent."""

Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """One held-out pair.

    Attributes:
        name: for messages.
        light: day or night.
        x: [32, H/4, W/4], the student's input.
        size_px: (width, height) of the picture inside the padding.
    """

    name: str
    light: Light
    x: Tensor
    size_px: tuple[int, int]

    def plane(self, phases: Tensor) -> npt.NDArray[np.uint8]:
        """[H, W] grey levels of 16 phases, without the padding, rounded as the runtime does."""
        image = shuffle(phases)[: self.size_px[1], : self.size_px[0]]
        return np.asarray(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class Holdout:
    """What is judged on.

    Attributes:
        description: in words, for the record.
        pairs: at least ``FEWEST``.
        block: so many pairs in a row depend on each other.
    """

    description: str
    pairs: tuple[Judged, ...]
    block: int = 1


def of_calibration(calibration: CalibrationSet) -> Holdout:
    """The held-out frames of a calibration set: of another time than those it calibrates with.

    Raises:
        InputError: too few, or files that were changed.
    """
    frames = calibration.list.holdout
    tensors = calibration.tensors(frames)
    pairs = [
        Judged(frame.name or str(frame.sequence), frame.light, x, calibration.list.size_px)
        for frame, x in zip(frames, tensors, strict=True)
    ]
    _enough(len(pairs), str(calibration.path))
    block = 1 if calibration.list.settings["stills"] else _block([frame.timestamp_ns for frame in frames])
    return Holdout(f"last part of {', '.join(calibration.list.sources)}", tuple(pairs), block)


def _block(times_ns: list[int]) -> int:
    """How many frames lie within ``BLOCK_S``; recordings follow each other, so the median gap is one within them."""
    gap_s = float(np.median(np.diff(times_ns))) / 1e9
    return max(1, round(BLOCK_S / gap_s)) if gap_s > 0 else len(times_ns)


def of_pairs(spec: str, split: str, bundle: Bundle) -> Holdout:
    """The pairs of a data set, of any size, packed as the bundle's student sees them.

    Raises:
        InputError: none there, too few, or pictures that cannot be read.
    """
    found = find_pairs(spec, split)
    _enough(len(found), spec)
    packer = InputPacker(AgcSpec(**bundle.manifest.agc.model_dump()))
    return Holdout(f"{len(found)} pairs of {spec}", tuple(_packed(found, packer)))


def _packed(found, packer: InputPacker) -> Iterator[Judged]:  # type: ignore[no-untyped-def]
    for place in found:
        pair = place.load()
        packer.forget()
        x = packer.input(pair)
        yield Judged(place.name, light_of(float(x[:16].mean()), place.name), x, pair.visible.size_px)


def _enough(count: int, where: str) -> None:
    if count < FEWEST:
        raise InputError(
            f"{count} held-out pairs cannot decide a quality gate, {FEWEST} can",
            where=where,
            remedy="calibrate with a longer recording, or give --holdout PAIRS",
        )
