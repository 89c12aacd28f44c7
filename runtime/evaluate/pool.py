"""Work spread over several processes, each result as it comes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from edgefusion.core.errors import RunError

Task = TypeVar("Task")
Done = TypeVar("Done")
Bench = Callable[[Task], Done]


def compute(make: Callable[[], Bench[Task, Done]], tasks: Sequence[Task], *, workers: int) -> Iterator[Done]:
    """Results of all tasks, in no order.

    Args:
        make: called once in each process, where it travels to; gives what does a task.
        tasks: what is to be done.
        workers: processes; with one, or one task, everything is done in this process.

    Raises:
        RunError: a process was ended from outside.
    """
    if workers == 1 or len(tasks) < 2:
        yield from map(make(), tasks)
        return
    # Spawned: a fork would inherit the thread pools of numba and OpenVINO in an unusable state.
    context = multiprocessing.get_context("spawn")
    threads = max((os.cpu_count() or 1) // workers, 1)
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _start, (make, threads))
    try:
        running: set[Future[Done]] = set()
        for task in tasks:
            # Few at a time, so that memory does not grow with the number of tasks.
            if len(running) >= 2 * workers:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
            running.add(pool.submit(_work, task))
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    except BrokenProcessPool as error:
        raise RunError("a process was ended from outside", remedy="try fewer --workers: memory may be short") from error
    finally:
        pool.shutdown(cancel_futures=True)


def interrupted(what: str, *, kept: int, total: int) -> RunError:
    """What to say when Ctrl-C ended the work: how much of it is done."""
    return RunError(f"interrupted; {kept} of {total} {what} are done and kept", remedy="the same command goes on there")


_bench: Bench[Any, Any]


def _start(make: Callable[[], Bench[Any, Any]], threads: int) -> None:
    """First call in a worker."""
    global _bench
    import cv2
    import numba

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    cv2.setNumThreads(threads)
    _bench = make()


def _end_with_parent() -> None:
    # A parent killed outright ends no worker: they would wait for tasks for ever.
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _work(task: Any) -> Any:
    return _bench(task)
