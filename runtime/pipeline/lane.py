"""A lane: everything between one rig's moments and its outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

from edgefusion.core.frames import Flag, FusedInfo
from edgefusion.core.geometry import Size
from edgefusion.ring.writer import Slot
from runtime.fusion import Fusion
from runtime.journal.snapshot import Snapshot
from runtime.latency import Deadlines, LatencyHistogram
from runtime.nvtx import NO_RANGES, Ranges
from runtime.pipeline.outputs import Outputs
from runtime.pipeline.statistics import Statistics
from runtime.pipeline.turn import Timed, Turn, untimed
from runtime.registration.monitor import Monitor
from runtime.report.schema import Since
from runtime.sync.moments import Moment

Observe = Callable[[Moment, Slot, Statistics], None]


class Moments(Protocol):
    """Where a lane's moments come from.

    Attributes:
        ended: nothing more will come.
        drops: frames or pairs that were given up before the lane saw them, by cause.
        lost: how many of these would have been published.
        since: what ``Moment.exposure_ns`` is, from which latency counts.
        state: running, ended, or what is wrong in one word.
    """

    since: Since

    def __enter__(self) -> object:
        """Begin: cameras run from now on."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop, and give everything back."""

    @property
    def ended(self) -> bool: ...  # noqa: D102
    @property
    def drops(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def lost(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102

    def next(self, timeout_s: float = 0.0) -> Moment | None:
        """The next moment, if there is one within the time."""

    def wait_s(self) -> float | None:
        """How long until there may be a moment without anything new; None if nothing waits."""

    def status(self) -> dict[str, Any]:
        """``cameras`` and ``skew_ms``, where there are cameras."""

    def set_drifted(self, drifted: bool) -> None:
        """Whether moments are marked MISREGISTERED from now on, where there are cameras."""

    def skew(self) -> LatencyHistogram | None:
        """A copy of the distances between the exposures of pairs, where there are cameras."""


class Lane:
    """Fuses one rig's moments, one after the other, and counts what happens.

    Args:
        name: the rig's.
        moments: where they come from.
        fusion: the stages.
        outputs: where fused frames go.
        frames: the lane ends when so many are published; None for no end.
        duration_s: the lane ends so long after warm-up; None for no end.
        warm_up_s: warm-up takes so long at least.
        deadline_ms: exposure to published; what takes longer counts as missed.
        stills: moments are unrelated pictures, not a stream.
        observe: called after every published frame, while its pixels still hold.
        timed: told the times of every published frame; must return at once.
        ranges: told where each stage begins and ends.
        monitor: of the registration, if it is watched.

    Attributes:
        preparing: an engine may be being built, since frames have another size: that may take minutes.
    """

    def __init__(
        self,
        name: str,
        moments: Moments,
        fusion: Fusion,
        outputs: Outputs,
        *,
        frames: int | None = None,
        duration_s: float | None = None,
        warm_up_s: float = 0.0,
        deadline_ms: float | None = None,
        stills: bool = False,
        observe: Observe = lambda moment, slot, statistics: None,
        timed: Timed = untimed,
        ranges: Ranges = NO_RANGES,
        monitor: Monitor | None = None,
    ) -> None:
        self.name, self.moments, self.fusion, self.outputs = name, moments, fusion, outputs
        self._stills, self._observe, self._frames = stills, observe, frames
        self._timed, self._ranges = timed, ranges
        self._duration_s = float("inf") if duration_s is None else duration_s
        self._monitor, self._looks = monitor, False
        self._start_ns: int | None = None
        self.preparing = False
        deadlines = Deadlines(None if deadline_ms is None else round(deadline_ms * 1e6))
        self.statistics = Statistics(warm_up_s=warm_up_s, deadlines=deadlines)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come, or enough has."""
        statistics = self.statistics
        return (
            self.moments.ended or self._frames == statistics.frames or statistics.counted_s >= self._duration_s
        )  # fmt: skip

    @property
    def state(self) -> str:
        """What the lane does, in one word: starting, running, ended, or what is wrong."""
        return self.moments.state if self.statistics.frames else "starting"

    @property
    def dropped(self) -> dict[str, int]:
        """Frames and pairs that were not published, by cause."""
        return {**self.moments.drops, **self.statistics.drops}

    @property
    def _lost(self) -> int:
        return self.moments.lost + self.statistics.dropped

    def turn(self, timeout_s: float) -> bool:
        """Fuse the next moment, if there is one within the time; whether there was."""
        asked_ns = time.monotonic_ns()
        if self._start_ns is None:
            self._start_ns = asked_ns
        self._ranges.begin("source")
        moment = self.moments.next(timeout_s)
        self._ranges.end()
        if moment is not None:
            self._ranges.begin("frame")
            try:
                self._take(moment, (asked_ns, time.monotonic_ns()))
            finally:
                moment.release()
                self._ranges.end()
        self.statistics.seconds = (time.monotonic_ns() - self._start_ns) / 1e9
        return moment is not None

    def status(self) -> dict[str, Any]:
        """What ``edgefusion status`` shows of this lane."""
        statistics, moments = self.statistics, self.moments.status()
        latency = statistics.latency
        return {
            "rig": self.name,
            "fps": round(statistics.fps, 2),
            "frames": statistics.frames,
            "flagged": dict(statistics.flagged),
            "latency_ms": {**latency.summary(50, 90, 99), "max": latency.max_ms},
            "stages_ms": {name: each.summary(50)["p50"] for name, each in statistics.stages.items()},
            "deadline_misses": statistics.deadlines.misses,
            "dropped": self.dropped,
            "copies_per_frame": self._copies_per_frame(moments),
            **self.fusion.facts,
            **({"registration": self._monitor.status()} if self._monitor else {}),
            "outputs": self.outputs.status(),
            **moments,
        }

    def snapshot(self) -> Snapshot:
        """Everything so far, for a record; may be called from any thread."""
        statistics, moments = self.statistics, self.moments.status()
        deadlines = statistics.deadlines
        return Snapshot(
            published=statistics.latency.copy(),
            warm_up=statistics.warm_up_frames,
            warm_up_s=statistics.warm_up_seconds,
            seconds=max(statistics.seconds - statistics.warm_up_seconds, 0.0),
            last_ns=statistics.intervals.last_ns,
            size_px=statistics.size_px,
            stages={name: histogram.copy() for name, histogram in statistics.stages.items()},
            intervals=statistics.intervals.histogram.copy(),
            skew=self.moments.skew(),
            dropped=self.dropped,
            flagged=dict(statistics.flagged),
            deadline_misses=deadlines.misses,
            longest_streak=deadlines.longest_streak,
            cameras=moments.get("cameras", {}),
            copies_per_frame=self._copies_per_frame(moments),
        )

    def finish(self) -> None:
        """Close the outputs, once everything that waits there is written."""
        self.statistics.deadlines.dropped(self._lost)
        self.outputs.close()

    def _copies_per_frame(self, moments: Mapping[str, Any]) -> float:
        """How often the pixels of a published frame, or of its inputs, were copied beyond pack and unpack."""
        cameras = moments.get("cameras", {}).values()
        sinks = self.outputs.copies / self.statistics.frames if self.statistics.frames else 0.0
        return round(sum(float(camera.get("copies", 0)) for camera in cameras) + self.fusion.copies + sinks, 3)

    def _take(self, moment: Moment, source_ns: tuple[int, int]) -> None:
        slot = self.outputs.acquire(self._prepare(moment))
        if slot is None:
            self.statistics.drops["no free slot"] += 1
            return
        try:
            marks = self._fuse(moment, slot)
        except BaseException:
            slot.cancel()
            raise
        self._publish(moment, slot, source_ns, marks)

    def _prepare(self, moment: Moment) -> Size:
        self.preparing = True
        try:
            return self.fusion.prepare(moment.visible, moment.thermal)
        finally:
            self.preparing = False

    def _fuse(self, moment: Moment, slot: Slot) -> tuple[int, int, int, int]:
        """The stages into the slot; when each began, and the last one ended."""
        fusion, clock, pair = self.fusion, time.monotonic_ns, moment.pair
        if self._stills:
            fusion.forget()
        if self._monitor:
            self._monitor.before()
            self._looks = self._monitor.due and pair is not None and not moment.flags & Flag.STALE
        begin_ns = clock()
        if pair is None or moment.flags & Flag.MISREGISTERED:
            if pair is not None and self._looks:
                fusion.pack(pair)  # for the monitor, to see whether it is right again
            self._pass_through(moment, slot)
            return begin_ns, begin_ns, begin_ns, clock()
        begin, end = self._ranges.begin, self._ranges.end
        begin("pack")
        fusion.pack(pair)
        end()
        packed_ns = clock()
        begin("execute")
        fusion.execute()
        end()
        executed_ns = clock()
        begin("unpack")
        fusion.unpack(pair.visible, slot.pixels)
        end()
        return begin_ns, packed_ns, executed_ns, clock()

    def _pass_through(self, moment: Moment, slot: Slot) -> None:
        if moment.visible is not None:
            self.fusion.pass_visible(moment.visible, slot.pixels)
        elif moment.thermal is not None:
            self.fusion.pass_thermal(moment.thermal, slot.pixels)

    def _publish(
        self, moment: Moment, slot: Slot, source_ns: tuple[int, int], stages_ns: tuple[int, int, int, int]
    ) -> None:
        statistics, info = self.statistics, self._info(moment)
        self._ranges.begin("publish")
        published_ns = slot.publish(info)
        self._ranges.end()
        statistics.size_px = self.fusion.size_px
        statistics.count(info, published_ns - moment.exposure_ns, published_ns=published_ns, lost=self._lost)
        self._observe(moment, slot, statistics)
        offered_ns = time.monotonic_ns()
        self._ranges.begin("sink")
        self.outputs.offer(slot, info, moment.pair)
        self._ranges.end()
        turn = Turn(
            info, moment.exposure_ns, *source_ns, *stages_ns, published_ns, offered_ns, time.monotonic_ns()
        )  # fmt: skip
        statistics.time(*turn.stages_ns)
        self._timed(turn)
        if self._monitor and self._looks:
            self._monitor.look()

    def _info(self, moment: Moment) -> FusedInfo:
        frame = moment.visible or moment.thermal
        assert frame is not None  # noqa: S101  # a moment has one of them
        return FusedInfo(
            self.statistics.frames,
            frame.timestamp_ns,
            frame.clock,
            moment.visible.sequence if moment.visible else -1,
            moment.thermal.sequence if moment.thermal else -1,
            moment.thermal_age_ns,
            moment.flags,
            moment.name,
        )
