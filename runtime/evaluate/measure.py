"""Computing what is missing: over several processes, pair by pair, each kept as soon as it is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import FramePair
from edgefusion.core.progress import Advance
from edgefusion.kernels.agc import AgcSpec
from edgefusion.metrics.fusion import fusion_metrics
from edgefusion.recordings.images import ImagePair
from runtime.evaluate.detector import Detector, DetectorFile
from runtime.evaluate.entries import Entry, Fuse, Fused
from runtime.evaluate.pairs import Subject
from runtime.evaluate.pool import compute, interrupted
from runtime.evaluate.store import Line, Store
from runtime.evaluate.sweep import Condition
from runtime.evaluate.views import Bytes, luma, thermal_levels, whole

TASKS_PER_WORKER = 8
"""Fewer are not worth the second it takes to start a process."""

Rows = npt.NDArray[np.float64]
"""[N, 6]: x0, y0, x1, y1, number of the class, score."""


@dataclass(frozen=True)
class Plan:
    """What every process must know.

    Attributes:
        entries: what is compared.
        conditions: how each pair is judged; the first is as it is.
        metrics: names of the figures.
        agc: makes 16-bit thermal a source of 8 bits.
        seed: of what is random in a condition.
        detector: looks at every entry's images, if there is one.
        detector_only: entries that only the detector looks at, and only at pairs as they are.
        labelled: names of the pairs that it looks at.
        block: so many pairs in a row depend on each other: frames of a second; 1 where each stands for itself.
    """

    entries: tuple[Entry, ...]
    conditions: tuple[Condition, ...]
    metrics: tuple[str, ...]
    agc: AgcSpec
    seed: int
    detector: DetectorFile | None = None
    detector_only: tuple[Entry, ...] = ()
    labelled: frozenset[str] = frozenset()
    block: int = 1

    @property
    def shown(self) -> tuple[Entry, ...]:
        """Whatever is fused: ``entries``, then those for the detector only. Numbers of entries count these."""
        return (*self.entries, *self.detector_only)

    def applies(self, entry: int, condition: int) -> bool:
        """Whether an entry has images under a condition: stored ones are of the pairs as they are."""
        return condition == 0 or (entry < len(self.entries) and self.entries[entry].fuses)


class Need(NamedTuple):
    """What one fused image is made for: which figures, and whether the detector looks at it."""

    condition: int
    entry: int
    metrics: tuple[str, ...]
    detect: bool


@dataclass(frozen=True)
class Task:
    """A pair, and what of it is missing."""

    index: int
    pair: ImagePair
    digest: str
    missing: tuple[Need, ...]


class Made(NamedTuple):
    """The figures and boxes that a need asked for."""

    values: dict[str, float]
    boxes: Rows | None


@dataclass(frozen=True)
class Done:
    """What a task missed, in the order of its ``missing``; mean luma of the visible picture."""

    task: Task
    luma: float
    made: list[Made]


@dataclass
class Measured:
    """Everything, from the cache or computed now.

    Attributes:
        figures: [condition, entry, pair, metric], NaN where an entry has no image.
        luma: mean of the visible picture, [pair].
        boxes: (condition, entry, pair) -> what the detector found.
        computed: how many images were made now.
    """

    figures: npt.NDArray[np.float64]
    luma: npt.NDArray[np.float64]
    boxes: dict[tuple[int, int, int], Rows] = field(default_factory=dict)
    computed: int = 0


class Opened:
    """Entries and the detector of a plan in this process, each opened when first needed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._entries: dict[int, Fuse] = {}
        self._detector: Detector | None = None

    def fuse(self, entry: int, pair: FramePair) -> Fused:
        """The image that the entry of that number makes of a pair."""
        if entry not in self._entries:
            self._entries[entry] = self._plan.shown[entry].open()
        return self._entries[entry](pair)

    def detect(self, rgb: Bytes) -> Rows | None:
        """What the detector finds in an image, if there is one."""
        if self._plan.detector is None:
            return None
        # As many threads as this process was given when it was started.
        self._detector = self._detector or self._plan.detector.open(threads=numba.get_num_threads())
        found = self._detector(rgb)
        numbers = [self._detector.classes.index(str(name)) for name in found.classes]
        return np.column_stack([found.boxes_px, np.array(numbers, np.float64), found.scores])


class Bench:
    """Computes tasks in this process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._opened = Opened(plan)

    def __call__(self, task: Task) -> Done:
        """Fuse whatever the task misses, judge it and look at it; sources are those of the pair as it is."""
        plan, pair = self._plan, task.pair.load()
        seen = luma(pair.visible.pixels.astype(np.uint8, copy=False))
        visible, thermal = whole(seen), thermal_levels(pair.thermal, plan.agc)
        made, applied, worse = [], 0, pair
        for need in task.missing:
            if need.condition != applied:
                worse = plan.conditions[need.condition].apply(pair, plan.agc, seed=plan.seed, digest=task.digest)
                applied = need.condition
            fused = self._opened.fuse(need.entry, worse)
            boxes = self._opened.detect(fused.rgb()) if need.detect else None
            names = need.metrics
            levels = whole(fused.levels)
            values = fusion_metrics(levels, visible=visible, thermal=thermal, names=names) if names else {}
            made.append(Made(values, boxes))
        return Done(task, float(seen.mean()), made)


def measure(
    plan: Plan, subjects: Sequence[Subject], *, workers: int | None, advance: Advance = lambda count: None
) -> Measured:
    """Every figure, from the cache where it is there.

    Args:
        plan: what to compute.
        subjects: of which pairs.
        workers: processes; by default as many as processors, or fewer where little is missing.
        advance: told how many pairs were finished.

    Raises:
        EdgeFusionError: a picture that cannot be read, a model that fails.
        RunError: interrupted; what was computed is kept.
    """
    stores = Stores(plan)
    shape = (len(plan.conditions), len(plan.entries), len(subjects), len(plan.metrics))
    measured = Measured(np.full(shape, np.nan), np.full(len(subjects), np.nan))
    for index in range(len(plan.shown)):
        for store in (stores.figures[index], *stores.boxes[index : index + 1]):
            _recall(plan, subjects, index, store, measured)
    tasks = [task for task in (_task(plan, subjects, measured, index) for index in range(len(subjects))) if task]
    advance(len(subjects) - len(tasks))
    workers = workers or min(os.cpu_count() or 1, max(len(tasks) // TASKS_PER_WORKER, 1))
    finished = 0
    try:
        for done in compute(partial(Bench, plan), tasks, workers=workers):
            _keep(plan, subjects[done.task.index], stores, measured, done)
            finished += 1
            advance(1)
    except KeyboardInterrupt:
        kept = len(subjects) - len(tasks) + finished
        raise interrupted("pairs", kept=kept, total=len(subjects)) from None
    measured.computed = sum(len(task.missing) for task in tasks)
    return measured


class Stores:
    """What is kept of each entry: its figures, and what the detector found in its images, if there is one."""

    def __init__(self, plan: Plan) -> None:
        self.figures = [Store(entry.identity) for entry in plan.shown]
        self.boxes = [Store(f"{entry.identity} detector {plan.detector.identity}") for entry in plan.shown
                      if plan.detector]  # fmt: skip


def _recall(plan: Plan, subjects: Sequence[Subject], entry: int, store: Store, measured: Measured) -> None:
    """Put what the cache has of one entry in its place."""
    columns = {name: column for column, name in enumerate(plan.metrics)}
    conditions = {condition.key(plan.seed): number for number, condition in enumerate(plan.conditions)}
    places: dict[str, list[int]] = {}
    for index, subject in enumerate(subjects):
        places.setdefault(subject.digests[entry], []).append(index)
    for line in store.read():
        if line.condition not in conditions:
            continue
        condition = conditions[line.condition]
        for index in places.get(line.digest, ()):
            measured.luma[index] = line.luma
            for name in line.values.keys() & columns.keys() if entry < len(plan.entries) else ():
                measured.figures[condition, entry, index, columns[name]] = line.values[name]
            if line.boxes is not None and subjects[index].pair.name in plan.labelled:
                measured.boxes[condition, entry, index] = np.array(line.boxes, np.float64).reshape(-1, 6)


def _task(plan: Plan, subjects: Sequence[Subject], measured: Measured, index: int) -> Task | None:
    subject, lacks = subjects[index], np.isnan(measured.figures[:, :, index])
    looked_at = plan.detector is not None and subject.pair.name in plan.labelled
    missing = []
    for condition, entry in product(range(len(plan.conditions)), range(len(plan.shown))):
        if plan.applies(entry, condition):
            lack = lacks[condition, entry] if entry < len(plan.entries) else ()
            names = tuple(plan.metrics[column] for column in np.flatnonzero(lack))
            detect = looked_at and (condition, entry, index) not in measured.boxes
            if names or detect:
                missing.append(Need(condition, entry, names, detect))
    return Task(index, subject.pair, subject.digest, tuple(missing)) if missing else None


def _keep(plan: Plan, subject: Subject, stores: Stores, measured: Measured, done: Done) -> None:
    measured.luma[done.task.index] = done.luma
    for need, made in zip(done.task.missing, done.made, strict=True):
        digest, key = subject.digests[need.entry], plan.conditions[need.condition].key(plan.seed)
        if made.values:
            stores.figures[need.entry].append(Line(digest, key, done.luma, made.values))
        if made.boxes is not None:
            stores.boxes[need.entry].append(Line(digest, key, done.luma, {}, made.boxes.tolist()))
            measured.boxes[need.condition, need.entry, done.task.index] = made.boxes
        for name, value in made.values.items():
            measured.figures[need.condition, need.entry, done.task.index, plan.metrics.index(name)] = value
