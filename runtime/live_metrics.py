"""``edgefusion run --metrics HOST:PORT``: what a run does, for Prometheus. Figures are read when they are asked for.

Names are those of the run record, in Prometheus' units: seconds, watts, hertz.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.optional import require
from runtime import log
from runtime.gauges import Gauges, Read
from runtime.latency import LatencyHistogram, edge_of
from runtime.pipeline.lane import Lane
from runtime.sync.cameras import State

if TYPE_CHECKING:
    from prometheus_client.metrics_core import HistogramMetricFamily, Metric

LOOPBACK = "127.0.0.1"

BOUNDS_S = (
    *(round(digit * scale, 6) for scale in (1e-4, 1e-3, 1e-2, 1e-1) for digit in (1, 1.5, 2, 3, 5, 7.5)),
    1.0,
    5.0,
)
"""Upper ends of the histograms' buckets; durations are put into them within 1 %."""

Labels = tuple[str, ...]
Values = Sequence[tuple[Labels, float]]


class Collector:
    """Answers a scrape from the lanes' own counters: nothing is counted twice, and the loop does nothing for it.

    Args:
        lanes: of the run.
        facts: of the whole run: bundle, device, precision.
        gauges: what the machine reads off.
    """

    def __init__(self, lanes: Sequence[Lane], facts: Mapping[str, str], *, gauges: Read = Gauges) -> None:
        self._lanes, self._facts, self._gauges = lanes, dict(facts), gauges
        self._core: Any = require("prometheus_client.core", "metrics")

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it is now."""
        statuses = [(lane, lane.status()) for lane in self._lanes]
        yield self._gauge("edgefusion_info", "What runs.", self._facts, [(tuple(self._facts.values()), 1.0)])
        yield from self._counts(statuses)
        yield from self._times()
        yield from self._cameras([(lane.name, status.get("cameras", {})) for lane, status in statuses])
        yield from self._readings(self._gauges())

    def _counts(self, statuses: list[tuple[Lane, dict[str, Any]]]) -> Iterator[Metric]:
        def each(name: str) -> list[tuple[Labels, float]]:
            return [((lane.name,), status[name]) for lane, status in statuses]

        def by_cause(name: str) -> list[tuple[Labels, float]]:
            return [((lane.name, key), count) for lane, status in statuses for key, count in status[name].items()]

        states = [((lane.name, lane.state), 1.0) for lane, _ in statuses]
        yield self._gauge("edgefusion_state", "1 for what the rig's lane does.", ("rig", "state"), states)
        yield self._count("edgefusion_frames", "Frames published.", ("rig",), each("frames"))
        yield self._count("edgefusion_dropped", "Frames given up.", ("rig", "cause"), by_cause("dropped"))
        yield self._count("edgefusion_flagged", "Unusual frames published.", ("rig", "flag"), by_cause("flagged"))
        yield self._count("edgefusion_deadline_misses", "Published too late.", ("rig",), each("deadline_misses"))
        yield self._gauge("edgefusion_fps", "Frames per second since warm-up.", ("rig",), each("fps"))
        yield self._gauge("edgefusion_copies_per_frame", "Copies of pixels.", ("rig",), each("copies_per_frame"))

    def _times(self) -> Iterator[Metric]:
        latency = self._histogram("edgefusion_latency_seconds", "To published, after warm-up.", ("rig", "since"))
        stages = self._histogram("edgefusion_stage_seconds", "Stages of the loop, after warm-up.", ("rig", "stage"))
        for lane in self._lanes:
            _fill(latency, (lane.name, lane.moments.since), lane.statistics.latency)
            for stage, histogram in lane.statistics.stages.items():
                _fill(stages, (lane.name, stage), histogram)
        yield from (latency, stages)

    def _cameras(self, rigs: list[tuple[str, Mapping[str, Mapping[str, Any]]]]) -> Iterator[Metric]:
        known = [((rig, side), camera) for rig, cameras in rigs for side, camera in cameras.items()]
        labels = ("rig", "camera")
        states: Values = [
            ((*key, str(state)), float(camera["state"] == state)) for key, camera in known for state in get_args(State)
        ]
        yield self._gauge("edgefusion_camera_state", "1 for what the camera does.", (*labels, "state"), states)
        for name, what in (("frames", "Frames that came."), ("reconnects", "Times it was opened anew.")):
            yield self._count(f"edgefusion_camera_{name}", what, labels, [(key, each[name]) for key, each in known])

    def _readings(self, gauges: Gauges) -> Iterator[Metric]:
        watts = {rail: mw / 1e3 for rail, mw in gauges.power_mw.items()}
        hertz = {clock: mhz * 1e6 for clock, mhz in gauges.clocks_mhz.items()}
        for name, what, label, values in (
            ("edgefusion_power_watts", "Power by METER/RAIL; none: not measured.", "rail", watts),
            ("edgefusion_temperature_celsius", "Temperature.", "zone", gauges.temperatures_c),
            ("edgefusion_clock_hertz", "Clock.", "clock", hertz),
        ):
            yield self._gauge(name, what, (label,), [((key,), value) for key, value in values.items()])
        fans: Values = [] if gauges.fan_rpm is None else [((), gauges.fan_rpm)]
        yield self._gauge("edgefusion_fan_rpm", "Of the fastest fan; none: not measured.", (), fans)

    def _gauge(self, name: str, what: str, labels: Iterable[str], values: Values) -> Metric:
        return _filled(self._core.GaugeMetricFamily, name, what, labels, values)

    def _count(self, name: str, what: str, labels: Iterable[str], values: Values) -> Metric:
        return _filled(self._core.CounterMetricFamily, name, what, labels, values)

    def _histogram(self, name: str, what: str, labels: Iterable[str]) -> HistogramMetricFamily:
        family: HistogramMetricFamily = self._core.HistogramMetricFamily(name, what, labels=list(labels))
        return family


@contextmanager
def serve_metrics(address: str, collector: Collector) -> Iterator[str]:
    """Serve them at ``http://ADDRESS/metrics`` while inside; its URL.

    Args:
        address: HOST:PORT, or a port of this machine alone; port 0 takes one that is free.
        collector: asked by each scrape.

    Raises:
        UsageError: that is no address.
        MachineError: the port is taken, or prometheus_client is not installed.
    """
    client = require("prometheus_client", "metrics")
    host, port = parse_address(address)
    registry = client.CollectorRegistry()
    registry.register(collector)
    client.ProcessCollector(registry=registry)
    try:
        server, thread = client.start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise MachineError(
            f"cannot serve metrics there ({error.strerror or error})", where=address, remedy="choose another port"
        ) from error
    try:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{server.server_address[1]}/metrics"
        log.event("metrics", state="served", url=url)
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of ``HOST:PORT``, ``[IPV6]:PORT``, or ``PORT`` of this machine alone.

    Raises:
        UsageError: it is neither.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16) or (":" in host and not _is_ipv6(host)):
        raise UsageError(f"{text!r} is no HOST:PORT", where="--metrics", remedy=f"such as {LOOPBACK}:9464")
    return host or LOOPBACK, int(port)


def _is_ipv6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host)
    except OSError:
        return False
    return True


def _filled(kind: Any, name: str, what: str, labels: Iterable[str], values: Values) -> Metric:
    family: Metric = kind(name, what, labels=list(labels))
    for given, value in values:
        family.add_metric(given, float(value))  # type: ignore[attr-defined]  # both kinds have it
    return family


def _fill(family: HistogramMetricFamily, labels: Labels, histogram: LatencyHistogram) -> None:
    whole = histogram.copy()  # the loop adds to it meanwhile
    counts = whole.counts
    waiting, below = deque(sorted(counts.items())), 0
    buckets: list[tuple[str, float]] = []
    for bound_s in BOUNDS_S:  # each count is looked at once: the loop waits for this thread meanwhile
        while waiting and edge_of(waiting[0][0] + 0.5) <= bound_s * 1e9:
            below += waiting.popleft()[1]
        buckets.append((f"{bound_s:g}", below))
    buckets.append(("+Inf", sum(counts.values())))
    family.add_metric(list(labels), buckets, sum_value=whole.sum_ns / 1e9)
