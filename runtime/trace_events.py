"""Events of the Trace Event Format, each as one line of JSON."""

from __future__ import annotations

import itertools
import json
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

from edgefusion.core.frames import Flag, FusedInfo
from edgefusion.recordings.pairing import SIDES, Side
from runtime.gauges import Gauges
from runtime.pipeline.turn import Turn

ARRIVAL_NS = 1_000
"""An arrival is drawn as a slice of a microsecond: arrows begin at slices only."""

REMEMBERED = 256
"""So many of a camera's last arrivals are known, for the arrows."""

_PROCESS = os.getpid()

STAGES = ("pack", "execute", "unpack", "publish")


class Track:
    """The events of one rig, on a track for its lane and one for each camera.

    Args:
        rig: its name.
        first: number of its first track; it takes ``1 + len(SIDES)``.
        since: what latency counts from, in the words of the run record: exposure or receive.
    """

    def __init__(self, rig: str, first: int, *, since: str) -> None:
        self._rig, self._lane = rig, first
        self._camera: dict[Side, int] = {side: first + 1 + index for index, side in enumerate(SIDES)}
        self._arrivals: dict[Side, deque[tuple[int, int]]] = {side: deque(maxlen=REMEMBERED) for side in SIDES}
        self._links = first << 44  # numbers of arrows and of frames: those of no other rig
        self._latency_name = json.dumps(f"{rig}: {since} to published")

    def names(self) -> Iterator[str]:
        """What its lane's track is called."""
        yield named("thread_name", self._lane, self._rig)

    def arrival(self, side: Side, sequence: int, at_ns: int) -> Iterator[str]:
        """A camera's frame came."""
        if not self._arrivals[side]:
            yield named("thread_name", self._camera[side], f"{self._rig} {side} camera")
        self._arrivals[side].append((sequence, at_ns))
        yield _slice(f"{side} {sequence}", self._camera[side], at_ns, at_ns + ARRIVAL_NS)

    def frame(self, turn: Turn) -> Iterator[str]:
        """A frame was published: a slice for every stage, its latency, and arrows from what it is made of."""
        lane, info = self._lane, turn.info
        yield _slice("source", lane, turn.asked_ns, turn.taken_ns)
        yield _slice("frame", lane, turn.taken_ns, turn.ended_ns, _facts(info))
        marks = (turn.begin_ns, turn.packed_ns, turn.executed_ns, turn.unpacked_ns, turn.published_ns)
        for stage, (begin_ns, end_ns) in zip(STAGES, itertools.pairwise(marks), strict=True):
            if end_ns > begin_ns:
                yield _slice(stage, lane, begin_ns, end_ns)
        yield _slice("sink", lane, turn.offered_ns, turn.ended_ns)
        yield from self._latency(turn)
        yield from self._arrows(turn)

    def _latency(self, turn: Turn) -> Iterator[str]:
        """A slice of its own beside the tracks: several frames may be under way at once."""
        if turn.exposure_ns > turn.published_ns:  # a simulated camera that is asked faster than time passes
            return
        self._links += 1
        common = f'"name":{self._latency_name},"cat":"latency","id":{self._links}'
        args = f'"args":{{"frame_id":{turn.info.frame_id}}}'
        yield f"{_begin('b', self._lane, turn.exposure_ns)},{common},{args}}}"
        yield f"{_begin('e', self._lane, turn.published_ns)},{common}}}"

    def _arrows(self, turn: Turn) -> Iterator[str]:
        """From both arrivals into ``pack``; where there are no cameras, from ``source``."""
        into_ns = (turn.begin_ns + turn.packed_ns) // 2
        starts = [*self._arrived(turn.info)] or [(self._lane, turn.asked_ns)]
        for number, at_ns in starts:
            self._links += 1
            common = f'"name":"frame","cat":"frame","id":{self._links}'
            yield f"{_begin('s', number, at_ns)},{common}}}"
            yield f'{_begin("f", self._lane, into_ns)},{common},"bp":"e"}}'

    def _arrived(self, info: FusedInfo) -> Iterator[tuple[int, int]]:
        for side, wanted in zip(SIDES, (info.visible_sequence, info.thermal_sequence), strict=True):
            for sequence, at_ns in reversed(self._arrivals[side]):
                if sequence == wanted:
                    yield self._camera[side], at_ns
                    break


def named(what: str, number: int, name: str) -> str:
    """The name of the process (``process_name``) or of a track (``thread_name``)."""
    return _event("M", number, 0, name=what, args={"name": name})


def counters(gauges: Gauges, at_ns: int) -> Iterator[str]:
    """What the machine reads off, drawn as curves; what is not measured is left out."""
    watts = {rail: mw / 1e3 for rail, mw in gauges.power_mw.items()}
    curves = {
        "power (W)": watts,
        "temperature (C)": gauges.temperatures_c,
        "clock (MHz)": gauges.clocks_mhz,
        "fan (rpm)": {} if gauges.fan_rpm is None else {"fastest": gauges.fan_rpm},
    }
    for name, values in curves.items():
        if values:
            yield _event("C", 0, at_ns, name=name, args=dict(values))


def left_out(count: int, at_ns: int) -> str:
    """So many events could not be written."""
    return _event("i", 0, at_ns, name=f"{count} events left out: the disk is slow", s="g")


def _facts(info: FusedInfo) -> str:
    flags = ",".join(f'"{flag.name}"'.lower() for flag in Flag if info.flags & flag) if info.flags else ""
    more = (f',"flags":[{flags}]' if flags else "") + (f',"pair":{json.dumps(info.name)}' if info.name else "")
    return (
        f',"args":{{"frame_id":{info.frame_id},"visible":{info.visible_sequence},"thermal":{info.thermal_sequence},'
        f'"thermal_age_ms":{info.thermal_age_ns / 1e6}{more}}}'
    )


def _slice(name: str, track: int, begin_ns: int, end_ns: int, args: str = "") -> str:
    """``args`` with a comma before it."""
    span = _begin("X", track, begin_ns)
    return f'{span},"dur":{_us(end_ns - begin_ns)},"name":"{name}","cat":"stage"{args}}}'


def _event(phase: str, track: int, at_ns: int, **facts: Any) -> str:
    return f"{_begin(phase, track, at_ns)},{json.dumps(facts)[1:]}"


def _begin(phase: str, track: int, at_ns: int) -> str:
    return f'{{"ph":"{phase}","pid":{_PROCESS},"tid":{track},"ts":{_us(at_ns)}'


def _us(ns: int) -> str:
    """Microseconds with every nanosecond."""
    return f"{ns // 1000}.{ns % 1000:03d}"
