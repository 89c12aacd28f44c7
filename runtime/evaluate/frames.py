"""Computing what is missing of a clip: chunks of frames over several processes, each chunk kept as soon as it is done.

A chunk starts one frame early where flicker needs it. Every figure is of its frame, or of its frame and the one before,
and depends on no chunk's borders.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import FramePair
from edgefusion.metrics.fusion import fusion_metrics
from edgefusion.metrics.temporal import flickers
from edgefusion.recordings.images import ImagePair
from runtime.evaluate.clips import Clip, Views, file_digest
from runtime.evaluate.entries import Entry
from runtime.evaluate.measure import Made, Measured, Opened, Plan, Rows, Stores
from runtime.evaluate.pairs import Subject
from runtime.evaluate.pool import compute, interrupted
from runtime.evaluate.store import Line, Store
from runtime.evaluate.views import Bytes, Levels, luma, whole

CHUNK = 10
"""Frames a process takes at once. More would be lost when it is killed; fewer would fuse more frames twice."""

CHUNKS_PER_WORKER = 2
"""Fewer are not worth the seconds it takes to start a process."""

FLICKER, CUT = "flicker", "cut"
"""What is kept beside metrics: the step from the frame before, and 1 where the scene changes there."""

Steps = npt.NDArray[np.float64]
Advance = Callable[[int], None]


class FrameNeed(NamedTuple):
    """What of one entry is missing in one frame."""

    entry: int
    metrics: tuple[str, ...]
    detect: bool
    flicker: bool


@dataclass(frozen=True)
class Chunk:
    """Frames in a row, and what of each is missing."""

    needs: dict[int, tuple[FrameNeed, ...]]

    def fused(self, number: int) -> list[int]:
        """Entries whose image of a frame is needed, for itself or as the one before."""
        own = {need.entry for need in self.needs.get(number, ())}
        return sorted(own | {need.entry for need in self.needs.get(number + 1, ()) if need.flicker})


class FrameDone(NamedTuple):
    """A frame's figures and boxes, in the order of its needs; mean luma of visible."""

    number: int
    luma: float
    made: list[Made]


class _Shot(NamedTuple):
    """One frame: grey levels of the guide and of the entries, and where a detector would look."""

    visible: Levels
    thermal: Bytes
    guide: Bytes
    levels: dict[int, Bytes]
    boxes: dict[int, Rows | None]


class FrameBench:
    """Computes chunks in this process."""

    def __init__(self, plan: Plan, clip: Clip) -> None:
        self._plan, self._views, self._opened = plan, Views(clip), Opened(plan)

    def __call__(self, chunk: Chunk) -> list[FrameDone]:
        """Everything a chunk misses; two frames are held at a time."""
        done, before = [], None
        for number in range(min(chunk.needs) - 1, max(chunk.needs) + 1):
            entries = chunk.fused(number)
            needs = chunk.needs.get(number, ())
            now = self._shoot(self._views(number), entries, needs) if entries else None
            if now and needs:
                done.append(FrameDone(number, float(now.visible.mean()), self._made(needs, now, before)))
            before = now
        return done

    def _shoot(self, pair: FramePair, entries: Sequence[int], needs: Sequence[FrameNeed]) -> _Shot:
        seen = luma(pair.visible.pixels.astype(np.uint8, copy=False))
        thermal = pair.thermal.pixels.astype(np.uint8, copy=False)
        looked_at = {need.entry for need in needs if need.detect}
        levels, boxes = {}, {}
        for entry in entries:
            fused = self._opened.fuse(entry, pair)
            boxes[entry] = self._opened.detect(fused.rgb()) if entry in looked_at else None
            levels[entry] = whole(fused.levels)
        return _Shot(seen, thermal, whole(np.asarray((seen + thermal) / 2, np.float32)), levels, boxes)

    def _made(self, needs: Sequence[FrameNeed], now: _Shot, before: _Shot | None) -> list[Made]:
        steps = _steps([need.entry for need in needs if need.flicker], before, now)
        visible, made = whole(now.visible), []
        for need in needs:
            values = dict(steps.get(need.entry, {}))
            if need.metrics:
                fused = now.levels[need.entry]
                values |= fusion_metrics(fused, visible=visible, thermal=now.thermal, names=need.metrics)
            made.append(Made(values, now.boxes[need.entry]))
        return made


def _steps(entries: Sequence[int], before: _Shot | None, now: _Shot) -> dict[int, dict[str, float]]:
    """Each entry's change from one frame to the next along the guide's motion."""
    if before is None or not entries:
        return {}
    clips = {str(entry): [before.levels[entry], now.levels[entry]] for entry in entries}
    found = flickers(clips, guide=[before.guide, now.guide])
    return {
        int(entry): {FLICKER: result.steps[0] if result.steps else 0.0, CUT: float(len(result.cuts))}
        for entry, result in found.items()
    }


def frame_subjects(clip: Clip, entries: Sequence[Entry]) -> list[Subject]:
    """Each frame as a pair to be judged."""
    place = ImagePair("", clip.footage.visible, clip.footage.thermal)
    own = [path and file_digest(path) for path in (entry.reads(place) for entry in entries)]
    subjects = []
    for number in range(clip.frames):
        digest = clip.frame_digest(number)
        digests = tuple(hashlib.sha256((digest + each).encode()).hexdigest() if each else digest for each in own)
        pair = ImagePair(clip.frame_name(number), place.visible, place.thermal)
        subjects.append(Subject(pair, clip.size_px, digest, digests))
    return subjects


def measure_frames(
    plan: Plan, clip: Clip, subjects: Sequence[Subject], *, workers: int | None,
    advance: Advance = lambda count: None,
) -> tuple[Measured, Steps]:  # fmt: skip
    """Every figure of every frame, from the cache where it is there.

    Args:
        plan: what to compute; conditions beyond the first are not.
        clip: of what.
        subjects: its frames.
        workers: processes; by default as many as processors, or fewer where little is missing.
        advance: told how many frames were finished.

    Returns:
        The figures, and flicker [shown, frames - 1] of the steps between frames, NaN where the scene changes.

    Raises:
        EdgeFusionError: a frame that cannot be read, a model that fails.
        RunError: interrupted; what was computed is kept.
    """
    book = _Book(plan, subjects)
    chunks = book.chunks()
    missing = sum(len(chunk.needs) for chunk in chunks)
    finished = len(subjects) - missing
    advance(finished)
    workers = workers or min(os.cpu_count() or 1, max(len(chunks) // CHUNKS_PER_WORKER, 1))
    try:
        for done in compute(partial(FrameBench, plan, clip), chunks, workers=workers):
            for frame in done:
                book.keep(frame)
            finished += len(done)
            advance(len(done))
    except KeyboardInterrupt:
        raise interrupted("frames", kept=finished, total=len(subjects)) from None
    return book.measured, np.where(np.isfinite(book.steps), book.steps, np.nan)[:, 1:]


class _Book:
    """What is known, in memory and in the cache.

    Attributes:
        measured: the figures.
        steps: flicker [shown, frames]; infinite at a cut, NaN where not known, as before the first frame.
    """

    def __init__(self, plan: Plan, subjects: Sequence[Subject]) -> None:
        self._plan, self._subjects, self._stores = plan, subjects, Stores(plan)
        self._needs: dict[int, tuple[FrameNeed, ...]] = {}
        shape = (1, len(plan.entries), len(subjects), len(plan.metrics))
        self.measured = Measured(np.full(shape, np.nan), np.full(len(subjects), np.nan))
        self.steps = np.full((len(plan.shown), len(subjects)), np.nan)
        for entry in range(len(plan.shown)):
            for store in (self._stores.figures[entry], *self._stores.boxes[entry : entry + 1]):
                self._recall(entry, store)

    def _recall(self, entry: int, store: Store) -> None:
        places = {subject.digests[entry]: number for number, subject in enumerate(self._subjects)}
        for line in store.read():
            if line.digest in places and not line.condition:
                boxes = None if line.boxes is None else np.array(line.boxes, np.float64).reshape(-1, 6)
                self._enter(places[line.digest], entry, line.luma, Made(line.values, boxes))

    def _enter(self, number: int, entry: int, luma: float, made: Made) -> None:
        self.measured.luma[number] = luma
        for column, name in enumerate(self._plan.metrics if entry < len(self._plan.entries) else ()):
            if name in made.values:
                self.measured.figures[0, entry, number, column] = made.values[name]
        if FLICKER in made.values:
            self.steps[entry, number] = np.inf if made.values[CUT] else made.values[FLICKER]
        if made.boxes is not None and self._plan.detector:
            self.measured.boxes[0, entry, number] = made.boxes

    def chunks(self) -> list[Chunk]:
        """What is missing, cut at fixed frames."""
        chunks = []
        for start in range(0, len(self._subjects), CHUNK):
            numbers = range(start, min(start + CHUNK, len(self._subjects)))
            needs = {number: needs for number in numbers if (needs := self._missing(number))}
            chunks += [Chunk(needs)] if needs else []
            self._needs |= needs
        return chunks

    def _missing(self, number: int) -> tuple[FrameNeed, ...]:
        plan, missing = self._plan, []
        for entry in range(len(plan.shown)):
            lack = np.isnan(self.measured.figures[0, entry, number]) if entry < len(plan.entries) else ()
            names = tuple(plan.metrics[column] for column in np.flatnonzero(lack))
            detect = plan.detector is not None and (0, entry, number) not in self.measured.boxes
            flicker = number > 0 and bool(np.isnan(self.steps[entry, number]))
            if names or detect or flicker:
                missing.append(FrameNeed(entry, names, detect, flicker))
        return tuple(missing)

    def keep(self, done: FrameDone) -> None:
        """Take in a frame, and write it down."""
        subject = self._subjects[done.number]
        for need, made in zip(self._needs[done.number], done.made, strict=True):
            digest = subject.digests[need.entry]
            if made.values:
                self._stores.figures[need.entry].append(Line(digest, "", done.luma, made.values))
            if made.boxes is not None:
                self._stores.boxes[need.entry].append(Line(digest, "", done.luma, {}, made.boxes.tolist()))
            self._enter(done.number, need.entry, done.luma, made)
            self.measured.computed += 1
