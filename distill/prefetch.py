"""Making what a step needs while the steps before it are computed, in processes of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset

from edgefusion.core.errors import EdgeFusionError, RunError, UsageError

Made = TypeVar("Made")


def default_workers() -> int:
    """Four processes at most, and one processor left for the training itself."""
    return min(4, len(os.sched_getaffinity(0)) - 1)


@contextmanager
def prefetched(make: Callable[[int], Made], steps: range, *, workers: int) -> Iterator[Iterator[Made]]:
    """What ``make`` gives for each step, in order; it is made ahead of time, and the same however many make it.

    Processes end with the ``with`` block, with an error, and with this process however it ends. Ctrl-C is this
    process's alone.

    Args:
        make: depends on the step alone; travels to the workers.
        steps: to make something for.
        workers: processes; with 0, each step is made here when its turn comes.

    Raises:
        EdgeFusionError: whatever ``make`` raises of it, as it raised it.
        RunError: a worker failed or was ended from outside.
        UsageError: fewer workers than none.
    """
    if workers < 0:
        raise UsageError(f"{workers} workers", remedy="give --workers 0 or more")
    if workers:
        with closing(_results(make, steps, workers)) as results:
            yield results
    else:
        yield map(make, steps)


class _Steps(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Any:
        try:
            return self._make(step)
        except EdgeFusionError as error:  # raised, it would arrive as the text of a traceback
            return error


def _results(make: Callable[[int], Any], steps: range, workers: int) -> Generator[Any, None, None]:
    # Spawned: a fork would inherit the thread pools of torch and OpenCV in an unusable state.
    loader = DataLoader(
        _Steps(make), batch_size=None, sampler=steps, num_workers=workers, multiprocessing_context="spawn"
    )
    with _no_interrupts():
        ready = iter(loader)
    for _ in steps:
        try:
            made = next(ready)
        except RuntimeError as error:
            raise RunError("a worker failed", remedy="try fewer --workers: memory may be short") from error
        if isinstance(made, EdgeFusionError):
            del ready  # which ends the workers, even while the error is looked at
            raise made
        yield made


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; those begun here never hear of it, this one hears of it later."""
    resource_tracker.ensure_running()  # beginning it would end the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
