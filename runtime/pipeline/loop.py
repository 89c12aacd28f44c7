"""The loop itself: lanes take turns in one thread until they end or the run is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from runtime.pipeline.lane import Lane

PATIENCE_S = 0.25
"""Longest wait without a turn: how soon the loop notices that it is to stop, and shows that it lives."""


def run_lanes(
    lanes: Sequence[Lane], *, stop: threading.Event, wake: threading.Condition, turned: Callable[[], None]
) -> None:
    """Fuse until every lane has ended or ``stop`` is set. ``Lane.finish`` comes after it, for each.

    Args:
        lanes: with several, each that has a moment ready gets its turn, in order.
        stop: ends the run after the frame in hand.
        wake: notified when a lane may have a moment.
        turned: called after every turn, also one without a frame.
    """
    while not stop.is_set() and not all(lane.ended for lane in lanes):
        if len(lanes) == 1:
            lanes[0].turn(PATIENCE_S)
        elif not sum(lane.turn(0.0) for lane in lanes if not lane.ended):
            _wait(lanes, wake)
        turned()


@contextmanager
def abandoned_on_error() -> Iterator[list[Lane]]:
    """A list for the lanes of a run: if it fails, the outputs of all are ended, and keep what was written."""
    lanes: list[Lane] = []
    try:
        yield lanes
    except BaseException:
        for lane in lanes:
            lane.outputs.abandon()
        raise


def _wait(lanes: Sequence[Lane], wake: threading.Condition) -> None:
    with wake:
        waits_s = [lane.moments.wait_s() for lane in lanes if not lane.ended]
        due_s = [wait_s for wait_s in waits_s if wait_s is not None]
        wake.wait(min([PATIENCE_S, *due_s]))
