"""Paired recordings as the networks see them: luma and thermal planes, prepared by the kernels the vehicle runs."""

from __future__ import annotations

import json
import os
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import InputError, RecordingError
from edgefusion.core.frames import FramePair
from edgefusion.core.pairs import SPLITS, check_names, find_pairs
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker
from edgefusion.kernels.layout import shuffle
from edgefusion.recordings.recording import open_recording

CACHE_BYTES = 2 << 30
"""Prepared planes that stay in memory: a data set of some thousand pairs as a whole."""
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


class Pair(Protocol):
    """A frame pair that lies somewhere."""

    @property
    def name(self) -> str:
        """``SET/NAME``, or ``NAME`` alone."""

    def load(self, sequence: int = 0) -> FramePair:
        """Read it."""


@dataclass(frozen=True)
class ClipPair:
    """A frame pair of two videos, the ``number``-th of them; it is decoded from the start, as that is always exact."""

    name: str
    visible: Path
    thermal: Path
    number: int

    def load(self, sequence: int = 0) -> FramePair:
        """Decode it.

        Raises:
            RecordingError: unreadable videos, or shorter ones than they say.
        """
        for pair in islice(open_recording(self.visible, self.thermal), self.number, None):
            return pair
        raise RecordingError(f"ends before frame {self.number}", where=self.visible, remedy="copy it again")


class Planes:
    """Planes of pairs, made when they are asked for; those used last stay in memory.

    Each is [2, H, W] luma and normalised thermal in 0..1, H and W padded to multiples of four.

    Attributes:
        names: of the pairs, each once.
        option: how a command names the pairs, without where they lie.

    Args:
        pairs: where they are read from.
        label: what pairs without a set in their name are a set of.
        split: of a data folder, or nothing.
        cache_bytes: how much stays in memory; the last one used always does.
    """

    def __init__(self, pairs: Sequence[Pair], *, label: str, split: str = "", cache_bytes: int = CACHE_BYTES) -> None:
        self._pairs, self._label, self._most = pairs, label, cache_bytes
        self.names = [pair.name for pair in pairs]
        self.option = f"--pairs PAIRS --split {split}" if split else "--pairs PAIRS"
        self._kept: OrderedDict[int, Images] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int, /) -> Images:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        self._kept[index] = made = self.make(index)
        self._bytes += made.nbytes
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return made

    def make(self, index: int) -> Images:
        """Planes that are wanted once: nothing is kept.

        Raises:
            RecordingError: the pair cannot be read.
        """
        return prepare(self._pairs[index].load(), AgcSpec())

    def sources(self) -> list[dict[str, Any]]:
        """What the pairs are of, for the manifest: name, number of pairs, and the licence its owners state."""
        counts = Counter(name.rpartition("/")[0] or self._label for name in self.names)
        return [
            {"name": name, "pairs": count, "licence": LICENCES.get(name, "unknown")} for name, count in counts.items()
        ]


def open_planes(spec: str, split: str = "train", *, intersect: bool = False) -> Planes:
    """Pairs to train on or to draw an ensemble for.

    Args:
        spec: as ``edgefusion.core.pairs.find_pairs`` has it; of a data folder, every ``CLIP_STRIDE``-th frame of the
            split's clips comes on top, as ``m3svd/K``.
        split: of a data folder.
        intersect: leave pictures without a partner out, with a warning, instead of refusing.

    Raises:
        InputError: no pair there, or pairs that do not match.
    """
    pairs: list[Pair] = [*find_pairs(spec, split, intersect=intersect)]
    listed = os.path.join(spec, SPLITS)
    if not os.path.isfile(listed):
        return Planes(pairs, label=Path(spec.partition(",")[0]).stem)
    pairs += _clip_pairs(Path(spec), split)
    if not pairs:
        raise InputError(f"no pair in split {split!r}", where=listed)
    check_names([pair.name for pair in pairs], spec)
    return Planes(pairs, label="", split=split)


def prepare(pair: FramePair, agc: AgcSpec) -> Images:
    """[2, H, W] luma and normalised thermal in 0..1, H and W padded to multiples of four."""
    x = InputPacker(agc).input(pair)
    return np.stack([shuffle(x[:16]), shuffle(x[16:])]).astype(np.float16)


def _clip_pairs(folder: Path, split: str) -> list[ClipPair]:
    places, recordings = [], folder / "recordings" / "m3svd"
    for clip in json.loads((folder / SPLITS).read_text())[split].get("m3svd_clips", []):
        visible, thermal = (recordings / half / f"{clip}.mp4" for half in ("visible", "thermal"))
        recording = open_recording(visible, thermal)
        length = recording.length or sum(1 for _ in recording)
        places += [(visible, thermal, number) for number in range(0, length, CLIP_STRIDE)]
    return [ClipPair(f"m3svd/{index}", *place) for index, place in enumerate(places)]
