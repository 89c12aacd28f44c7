"""The first look at the recordings: a descriptor of each usable frame, thinned so that hours fit in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from calibrate.frames.descriptor import Describer, Descriptor
from calibrate.frames.packed import OneSize, Packed, Packing, packed
from calibrate.frames.screen import Screen
from edgefusion.core.geometry import Size
from edgefusion.core.progress import Advance
from edgefusion.recordings.options import NamedRecording
from edgefusion.recordings.recording import Recording

LIMIT = 8192
"""Candidates kept, of all recordings together: under 10 MB, and more than one a second of a drive of two hours."""

HOLDOUT_PART = 5
"""One in so many of a recording's frames, the last ones, is for the holdout."""


@dataclass(frozen=True)
class Candidate:
    """A usable frame: where it is, and its descriptor [104]."""

    recording: int
    sequence: int
    timestamp_ns: int
    name: str
    descriptor: Descriptor


@dataclass
class Survey:
    """What the recordings have.

    Attributes:
        size_px: (width, height) of the visible frames.
        seen: how many frames there were, and how many of them were left out, by reason.
        training: candidates to calibrate on.
        holdout: candidates of another time, to judge on.
        stills: whether no recording has motion.
    """

    size_px: Size = (0, 0)
    seen: Counter[str] = field(default_factory=Counter)
    training: list[Candidate] = field(default_factory=list)
    holdout: list[Candidate] = field(default_factory=list)
    stills: bool = True


class Surveyor:
    """Describes every usable frame once.

    The last fifth of each recording is for the holdout: a frame's neighbour in time is no independent judge.
    Of still images, which are in no order, it is a seeded fifth.

    Args:
        packing: how frames become tensors.
        seed: of the holdout of still images.
        limit: candidates kept, of all recordings together.
        check: told of the size of the first frame; may refuse it.
        advance: told of each frame.
    """

    def __init__(
        self,
        packing: Packing,
        *,
        seed: int = 0,
        limit: int = LIMIT,
        check: Callable[[Size], None] = lambda size_px: None,
        advance: Advance = lambda count: None,
    ) -> None:
        self._packing, self._seed, self._limit = packing, seed, limit
        self._size, self._advance = OneSize(check), advance

    def survey(self, recordings: Sequence[NamedRecording]) -> Survey:
        """Look at every frame.

        Raises:
            EdgeFusionError: a recording that cannot be read, or frames of different sizes.
        """
        found = Survey()
        for number, (named, recording) in enumerate([(named, named.open()) for named in recordings]):
            look = _Look(number, stills=recording.fps is None, limit=self._limit // len(recordings))
            self._look_at(recording, named.name, look)
            training, holdout = look.divide(self._seed)
            found.seen.update(look.seen)
            found.training += training
            found.holdout += holdout
            found.stills = found.stills and look.stills
        found.size_px = self._size.size_px
        return found

    def _look_at(self, recording: Recording, name: str, look: _Look) -> None:
        for frame in packed(recording, self._packing):
            self._size.check(frame, name)
            look.take(frame)
            self._advance(1)


class _Look:
    """At one recording.

    It keeps every ``stride``-th usable frame; when they are too many, every other goes and the stride doubles.
    """

    def __init__(self, number: int, *, stills: bool, limit: int) -> None:
        self.stills, self.seen = stills, Counter[str]()
        self._number, self._limit = number, max(limit, 2)
        self._screen, self._describer = Screen(stills=stills), Describer(stills=stills)
        self._kept: list[Candidate] = []
        self._stride, self._usable = 1, 0

    def take(self, frame: Packed) -> None:
        """Look at the next frame."""
        self.seen["frames"] += 1
        fault, descriptor = self._screen.fault(frame), self._describer.describe(frame.x)
        if fault:
            self.seen[fault] += 1
        else:
            time_ns = frame.pair.visible.timestamp_ns
            self._add(Candidate(self._number, frame.sequence, time_ns, frame.pair.name, descriptor))

    def _add(self, candidate: Candidate) -> None:
        if len(self._kept) == self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2
        if self._usable % self._stride == 0:
            self._kept.append(candidate)
        self._usable += 1

    def divide(self, seed: int) -> tuple[list[Candidate], list[Candidate]]:
        """Candidates to calibrate on, and those of the holdout."""
        self.seen["thinned out"] = self._usable - len(self._kept)
        held = self._seeded(seed) if self.stills else self._last()
        pairs = list(zip(self._kept, held, strict=True))
        return [one for one, holdout in pairs if not holdout], [one for one, holdout in pairs if holdout]

    def _seeded(self, seed: int) -> list[bool]:
        count = len(self._kept)
        drawn = set(np.random.default_rng(seed).permutation(count)[: -(-count // HOLDOUT_PART)].tolist())
        return [place in drawn for place in range(count)]

    def _last(self) -> list[bool]:
        first = self.seen["frames"] * (HOLDOUT_PART - 1) / HOLDOUT_PART
        return [one.sequence >= first for one in self._kept]
