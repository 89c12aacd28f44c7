from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lanes import Run, pairs
from rig_files import write_rig

from edgefusion.core.errors import MachineError, UsageError
from runtime.gauges import Gauges
from runtime.latency import LatencyHistogram
from runtime.live_metrics import Collector, parse_address, serve_metrics

pytest.importorskip("prometheus_client")
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

DASHBOARD = Path(__file__).parents[2] / "examples" / "grafana-dashboard.json"
Scraped = dict[str, Metric]


def scrape(url: str) -> Scraped:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def values(scraped: Scraped, name: str, **labels: str) -> list[float]:
    """Of the samples of that exact name which have these labels."""
    samples = [sample for family in scraped.values() for sample in family.samples if sample.name == name]
    return [sample.value for sample in samples if labels.items() <= sample.labels.items()]


def value(scraped: Scraped, name: str, **labels: str) -> float:
    (found,) = values(scraped, name, **labels)
    return found


@pytest.fixture(scope="module")
def rig_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a live run in another process."""
    folder = tmp_path_factory.mktemp("metrics")
    rig = write_rig(folder / "rig.toml", name="front", more="[policy]\ndeadline_ms = 0.001")
    words = ["run", "--precision", "fp32", "--rig", str(rig), "--metrics", "127.0.0.1:0", "--log", "json"]
    command = [sys.executable, "-m", "edgefusion.cli", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        lines = map(json.loads, process.stderr)
        yield next(line["url"] for line in lines if line["event"] == "metrics")
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0


def until(url: str, name: str, least: float, seconds: float = 60.0) -> Scraped:
    end = time.monotonic() + seconds
    while True:
        scraped = scrape(url)
        if sum(values(scraped, name)) >= least:
            return scraped
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_live_run_is_scraped(rig_run: str) -> None:
    scraped = until(rig_run, "edgefusion_frames_total", 20)
    later = until(rig_run, "edgefusion_frames_total", value(scraped, "edgefusion_frames_total", rig="front") + 5)
    frames = value(later, "edgefusion_frames_total", rig="front")
    assert value(later, "edgefusion_state", rig="front", state="running") == 1
    assert value(later, "edgefusion_info", device="cpu", precision="fp32") == 1
    assert 0.8 * frames <= value(later, "edgefusion_deadline_misses_total", rig="front") <= frames
    assert value(later, "edgefusion_copies_per_frame", rig="front") == 0
    assert value(later, "edgefusion_fps", rig="front") > 0
    for camera in ("visible", "thermal"):
        assert value(later, "edgefusion_camera_state", rig="front", camera=camera, state="live") == 1
        assert sum(values(later, "edgefusion_camera_state", camera=camera)) == 1
        assert value(later, "edgefusion_camera_frames_total", camera=camera) >= frames
    assert value(later, "process_resident_memory_bytes") > 1e6


def test_histograms_are_whole(rig_run: str) -> None:
    scraped = until(rig_run, "edgefusion_frames_total", 40)
    for labels in ({"since": "exposure"}, {"stage": "execute"}, {"stage": "pack"}, {"stage": "sink"}):
        name = "edgefusion_latency_seconds" if "since" in labels else "edgefusion_stage_seconds"
        counts = values(scraped, f"{name}_bucket", **labels)
        assert counts == sorted(counts)
        assert counts[-1] == value(scraped, f"{name}_count", **labels) > 10
        assert value(scraped, f"{name}_sum", **labels) > 0


def test_what_is_not_measured_is_not_there(rig_run: str) -> None:
    assert values(scrape(rig_run), "edgefusion_power_watts") == []
    assert values(in_this_process(Run([])), "edgefusion_fan_rpm") == []


def in_this_process(run: Run, **options) -> Scraped:
    collector = Collector([run.lane], {"bundle": "proxy-nano"}, **options)
    with serve_metrics("0", collector) as url:
        assert url.startswith("http://127.0.0.1:")
        return scrape(url)


def test_the_figures_are_those_of_the_run() -> None:
    readings = Gauges(
        power_mw={"hwmon/VDD_IN": 5250.0}, temperatures_c={"gpu": 41.5}, clocks_mhz={"gpu": 918.0}, fan_rpm=1850.0
    )
    run = Run(pairs(30), fps=2000, on_frame=lambda run: time.sleep(0.002))
    statistics = run.go()
    scraped = in_this_process(run, gauges=lambda: readings)
    assert value(scraped, "edgefusion_frames_total") == statistics.frames
    assert value(scraped, "edgefusion_dropped_total", cause="late") == run.lane.dropped["late"] > 0
    assert value(scraped, "edgefusion_latency_seconds_count", since="exposure") == statistics.latency.count
    assert value(scraped, "edgefusion_power_watts", rail="hwmon/VDD_IN") == 5.25
    assert value(scraped, "edgefusion_temperature_celsius", zone="gpu") == 41.5
    assert value(scraped, "edgefusion_clock_hertz", clock="gpu") == 918e6
    assert value(scraped, "edgefusion_fan_rpm") == 1850


def test_buckets_hold_the_durations_below_their_bound() -> None:
    run = Run([])
    durations = np.random.default_rng(0).lognormal(np.log(0.008), 0.8, 4000)
    for duration in durations:
        run.lane.statistics.latency.add(round(duration * 1e9))
    scraped = in_this_process(run)
    for bound in (0.001, 0.005, 0.01, 0.05):
        (found,) = [
            sample.value
            for sample in scraped["edgefusion_latency_seconds"].samples
            if sample.labels.get("le") == f"{bound:g}"
        ]
        assert np.sum(durations <= 0.985 * bound) <= found <= np.sum(durations <= 1.015 * bound)
    assert value(scraped, "edgefusion_latency_seconds_sum") == pytest.approx(durations.sum(), rel=1e-6)


class Busy(LatencyHistogram):
    """One that the loop adds to whenever its buckets were just read."""

    @property
    def counts(self) -> dict[int, int]:
        found = super().counts
        self.add(3 * 10**6)
        return found


def test_a_histogram_is_whole_while_the_loop_adds_to_it() -> None:
    run = Run([])
    run.lane.statistics.latency = Busy()
    run.lane.statistics.latency.add(3 * 10**6)
    scraped = in_this_process(run)
    count = value(scraped, "edgefusion_latency_seconds_count")
    assert value(scraped, "edgefusion_latency_seconds_sum") == pytest.approx(count * 0.003)


def test_every_metric_of_the_dashboard_exists() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = set(re.findall(r"(?:edgefusion|process)_\w+", " ".join(expressions) + json.dumps(dashboard["templating"])))
    scraped = in_this_process(Run([]))
    named = {
        name
        for family in scraped.values()
        for name in (
            [family.name, *(f"{family.name}{end}" for end in ("_bucket", "_count", "_sum"))]
            if family.type == "histogram"
            else [f"{family.name}_total" if family.type == "counter" else family.name]
        )
    }
    assert len(expressions) >= 8
    assert asked - named == set()
    assert named - asked <= {
        name for name in named if name.startswith(("process_", "edgefusion_latency", "edgefusion_stage"))
    }


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(column for column, _ in cells) < 24
        taken |= cells


def test_nothing_is_served_any_more_when_the_run_is_over() -> None:
    with serve_metrics("0", Collector([], {})) as url:
        assert scrape(url)
    with pytest.raises(urllib.error.URLError):
        scrape(url)


def test_a_port_that_is_taken_is_said(edgefusion) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match="in use"), serve_metrics(f"127.0.0.1:{port}", Collector([], {})):
            pass
        result = edgefusion("run", "--frames", 2, "--precision", "fp32", "--metrics", port)
    assert result.exit_code == 3
    assert "choose another port" in result.stderr


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),  # noqa: S104
        ("[::1]:9464", ("::1", 9464)),
        ("rig.local:1", ("rig.local", 1)),
    ],
)
def test_it_is_this_machine_alone_unless_told_otherwise(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", "localhost:70000", "a:b:9464", "localhost:9464x", "::1"]
)
def test_what_is_no_address_is_said(edgefusion, text: str) -> None:
    with pytest.raises(UsageError, match="no HOST:PORT"):
        parse_address(text)
    assert edgefusion("run", "--frames", 2, "--metrics", text).exit_code == 2
