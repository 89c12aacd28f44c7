"""Computing what is missing: over several processes, pair by pair, each kept as soon as it is done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import RunError
from edgefusion.kernels.agc import AgcSpec
from edgefusion.metrics.fusion import fusion_metrics
from edgefusion.recordings.images import ImagePair
from runtime.evaluate.entries import Entry, Fuse
from runtime.evaluate.pairs import Subject
from runtime.evaluate.store import Line, Store
from runtime.evaluate.sweep import Condition
from runtime.evaluate.views import luma, thermal_levels, whole

TASKS_PER_WORKER = 8
"""Fewer are not worth the second it takes to start a process."""

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Plan:
    """What every process must know.

    Attributes:
        entries: what is compared.
        conditions: how each pair is judged; the first is as it is.
        metrics: names of the figures.
        agc: makes 16-bit thermal a source of 8 bits.
        seed: of what is random in a condition.
    """

    entries: tuple[Entry, ...]
    conditions: tuple[Condition, ...]
    metrics: tuple[str, ...]
    agc: AgcSpec
    seed: int

    def applies(self, entry: int, condition: int) -> bool:
        """Whether an entry has images under a condition: stored ones are of the pairs as they are."""
        return condition == 0 or self.entries[entry].fuses


@dataclass(frozen=True)
class Task:
    """A pair, and for which (condition, entry) which figures of it are missing."""

    index: int
    pair: ImagePair
    digest: str
    missing: tuple[tuple[int, int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Done:
    """The figures of a task, in the order of its ``missing``; mean luma of the visible picture."""

    task: Task
    luma: float
    values: list[dict[str, float]]


@dataclass(frozen=True)
class Measured:
    """Figures [condition, entry, pair, metric], NaN where an entry has no image; mean visible luma [pair].

    ``computed`` is how many images were judged now rather than taken from the cache.
    """

    figures: npt.NDArray[np.float64]
    luma: npt.NDArray[np.float64]
    computed: int


class Bench:
    """Computes tasks in this process; entries are opened when first needed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._opened: dict[int, Fuse] = {}

    def __call__(self, task: Task) -> Done:
        """Fuse and judge whatever the task misses; sources are those of the pair as it is."""
        plan, pair = self._plan, task.pair.load()
        seen = luma(pair.visible.pixels.astype(np.uint8, copy=False))
        visible, thermal = whole(seen), thermal_levels(pair.thermal, plan.agc)
        values, applied, worse = [], 0, pair
        for condition, entry, names in task.missing:
            if condition != applied:
                worse = plan.conditions[condition].apply(pair, plan.agc, seed=plan.seed, digest=task.digest)
                applied = condition
            fused = whole(self._open(entry)(worse).levels)
            values.append(fusion_metrics(fused, visible=visible, thermal=thermal, names=names))
        return Done(task, float(seen.mean()), values)

    def _open(self, entry: int) -> Fuse:
        if entry not in self._opened:
            self._opened[entry] = self._plan.entries[entry].open()
        return self._opened[entry]


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
    stores = [Store(entry.identity) for entry in plan.entries]
    shape = (len(plan.conditions), len(plan.entries), len(subjects), len(plan.metrics))
    measured = Measured(np.full(shape, np.nan), np.full(len(subjects), np.nan), 0)
    for index, store in enumerate(stores):
        _recall(plan, subjects, index, store, measured)
    tasks = [task for task in (_task(plan, subjects, measured, index) for index in range(len(subjects))) if task]
    advance(len(subjects) - len(tasks))
    workers = workers or min(os.cpu_count() or 1, max(len(tasks) // TASKS_PER_WORKER, 1))
    finished = 0
    try:
        for done in _compute(plan, tasks, workers):
            _keep(plan, subjects[done.task.index], stores, measured, done)
            finished += 1
            advance(1)
    except KeyboardInterrupt:
        kept = len(subjects) - len(tasks) + finished
        raise RunError(
            f"interrupted; {kept} of {len(subjects)} pairs are done and kept", remedy="the same command goes on there"
        ) from None
    except BrokenProcessPool as error:
        raise RunError("a process was ended from outside", remedy="try fewer --workers: memory may be short") from error
    return Measured(measured.figures, measured.luma, sum(len(task.missing) for task in tasks))


def _recall(plan: Plan, subjects: Sequence[Subject], entry: int, store: Store, measured: Measured) -> None:
    """Put what the cache has of one entry in its place."""
    columns = {name: column for column, name in enumerate(plan.metrics)}
    conditions = {condition.key(plan.seed): number for number, condition in enumerate(plan.conditions)}
    places: dict[str, list[int]] = {}
    for index, subject in enumerate(subjects):
        places.setdefault(subject.digests[entry], []).append(index)
    for line in store.read():
        condition = conditions.get(line.condition)
        for index in places.get(line.digest, ()) if condition is not None else ():
            measured.luma[index] = line.luma
            for name in line.values.keys() & columns.keys():
                measured.figures[condition, entry, index, columns[name]] = line.values[name]


def _task(plan: Plan, subjects: Sequence[Subject], measured: Measured, index: int) -> Task | None:
    lacks = np.isnan(measured.figures[:, :, index])
    missing = tuple(
        (
            condition,
            entry,
            tuple(name for name, lack in zip(plan.metrics, lacks[condition, entry], strict=True) if lack),
        )
        for condition, entry in np.argwhere(lacks.any(axis=2)).tolist()
        if plan.applies(entry, condition)
    )
    return Task(index, subjects[index].pair, subjects[index].digest, missing) if missing else None


def _keep(plan: Plan, subject: Subject, stores: Sequence[Store], measured: Measured, done: Done) -> None:
    measured.luma[done.task.index] = done.luma
    for (condition, entry, _), values in zip(done.task.missing, done.values, strict=True):
        key = plan.conditions[condition].key(plan.seed)
        stores[entry].append(Line(subject.digests[entry], key, done.luma, values))
        for name, value in values.items():
            measured.figures[condition, entry, done.task.index, plan.metrics.index(name)] = value


def _compute(plan: Plan, tasks: Sequence[Task], workers: int) -> Iterator[Done]:
    """Results as they come."""
    if workers == 1 or len(tasks) < 2:
        yield from map(Bench(plan), tasks)
        return
    # Spawned: a fork would inherit the thread pools of numba and OpenVINO in an unusable state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), context, _start, (plan, max((os.cpu_count() or 1) // workers, 1))
    )
    try:
        running: set[Future[Done]] = set()
        for task in tasks:
            # Few at a time, so that memory does not grow with the number of pairs.
            if len(running) >= 2 * workers:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
            running.add(pool.submit(_work, task))
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    finally:
        pool.shutdown(cancel_futures=True)


_bench: Bench


def _start(plan: Plan, threads: int) -> None:
    """First call in a worker."""
    global _bench
    import cv2
    import numba

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    cv2.setNumThreads(threads)
    _bench = Bench(plan)


def _end_with_parent() -> None:
    # A parent killed outright ends no worker: they would wait for tasks for ever.
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _work(task: Task) -> Done:
    return _bench(task)


@contextmanager
def progress(what: str, total: int, *, hidden: bool = False) -> Iterator[Advance]:
    """A bar on the terminal; nothing where there is none."""
    if hidden or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        number = bar.add_task(what, total=total)
        yield lambda count: bar.advance(number, count)
