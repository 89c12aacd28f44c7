"""The process that measures, when a processor is idle.

A thread of low priority would keep the interpreter's lock while it waits to be scheduled, and the loop with it. A
process keeps nothing, and a crash in it ends no run.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import select
import signal
import time
from collections import deque
from dataclasses import replace
from multiprocessing.connection import Connection

from edgefusion.core.geometry import Matrix, Size
from edgefusion.kernels.layout import Tensor
from runtime.registration.sample import Measurement, measure

STOP_S = 2.0

PIECE = 16 * 1024
"""Bytes: a socket that can be written to takes so many at once; all of a task would block while nobody reads."""


class Worker:
    """One process, started by the first question. For one thread."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._end: Connection | None = None
        self._unsent: deque[bytes] = deque()

    def ask(self, planes: Tensor, size_px: Size, start: Matrix) -> None:
        """Begin to measure; see ``sample.measure``. Only ``answer`` sends it, as fast as it is read.

        Raises:
            OSError: none can be started.
        """
        if self._end is None:
            self._begin()
        task = pickle.dumps((planes, size_px, start))
        self._unsent = deque(task[at : at + PIECE] for at in range(0, len(task), PIECE))
        self._unsent.append(b"")

    def answer(self, timeout_s: float) -> Measurement | None:
        """What was measured, if it is within the time.

        Raises:
            OSError, EOFError: the process is gone.
        """
        assert self._end is not None  # noqa: S101  # it was asked
        end_s = time.monotonic() + timeout_s
        while self._unsent:
            if not _writable(self._end, end_s - time.monotonic()):
                return None
            self._end.send_bytes(self._unsent.popleft())
        return self._end.recv() if self._end.poll(max(end_s - time.monotonic(), 0)) else None

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is None or self._end is None:
            return
        self._process.terminate()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._end.close()
        self._process = self._end = None

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._end, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="drift", daemon=True)
        try:
            self._process.start()
        finally:
            theirs.close()


def _writable(end: Connection, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(end.fileno(), select.POLLOUT)
    return bool(poll.poll(1e3 * max(timeout_s, 0)))


def _serve(end: Connection) -> None:
    """Answer until the other side is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # a nice process would still end its slice first
    import cv2

    cv2.setNumThreads(1)
    while True:
        try:
            task = b"".join(iter(end.recv_bytes, b""))
        except EOFError:
            return
        begin_s = time.process_time()
        found = measure(*pickle.loads(task))  # noqa: S301  # its parent's
        end.send(replace(found, cpu_s=time.process_time() - begin_s))
