"""Meters read beside the run: power that a second process writes, against what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import jetson_sysfs
import pytest
from power_curve import Load

from runtime.power import hwmon
from runtime.power.base import Reading
from runtime.power.meters import find_meters
from runtime.power.rails import Layout
from runtime.power.remarks import Remarks
from runtime.power.sampler import Sampler

PROGRAM = """
import json, sys, time
from pathlib import Path
from jetson_sysfs import rail_files
from power_curve import Load
from runtime.power.meters import find_meters
from runtime.power.sampler import Sampler

load = Load(rail_files(Path("/"), sys.argv[1])["amperes"], 12.0)
with Sampler(find_meters()) as sampler:
    time.sleep(0.2)
    for attempt in range(6):  # again where this machine kept the sampler waiting: what is not covered is not compared
        begin = time.monotonic_ns()
        sampler.begin(begin)
        time.sleep(1.5)
        end = time.monotonic_ns()
        (meter,) = sampler.end(end)
        if meter.coverage > 0.999:
            break
load.stop()
print(json.dumps({"joules": load.curve().joules(begin, end, 5000), "meter": meter.model_dump()}))
"""


class Steady:
    """A meter of one rail that always says the same."""

    name, interval_s, averages, layout = "steady", 0.01, False, Layout("module input", total="A")

    def __init__(self, mw: float = 100.0) -> None:
        self.mw = mw
        self.remarks = Remarks()
        self.closed = False
        self.hang = threading.Event()
        self.hang.set()

    def rails(self) -> tuple[str, ...]:
        return ("A",)

    def read(self) -> Reading:
        self.hang.wait()
        return Reading(time.monotonic_ns(), {"A": self.mw})

    def close(self) -> None:
        self.closed = True


def inside(module: str, rail: str) -> dict:
    """Run PROGRAM where /sys is that module's."""
    jetson_sysfs.skip_without_namespaces()
    words = jetson_sysfs.command(module, sys.executable, "-c", PROGRAM, rail)
    support = str(Path(jetson_sysfs.__file__).parent)
    environment = {"PYTHONPATH": f"{Path.cwd()}:{support}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("module", "rail", "scope"),
    [
        ("orin-nx-16", "VDD_IN", "module input"),
        ("agx-orin-64", "VDD_CPU_CV", "sum of rails"),
        ("thor-t5000", "VIN", "board input"),
    ],
)
def test_a_known_curve_is_integrated_to_within_a_hundredth(module: str, rail: str, scope: str) -> None:
    found = inside(module, rail)
    meter = found["meter"]
    measured = {other["name"]: other["joules"] for other in meter["rails"]}
    assert meter["coverage"] > 0.999
    assert measured[rail] == pytest.approx(found["joules"], rel=0.01)
    assert meter["joules"] == pytest.approx(sum(measured[name] for name in meter["summed"] or [rail]))
    assert meter["scope"] == scope


def test_idling_ends_when_the_run_is_stopped_and_nobody_idles_without_a_meter(tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "agx-orin-64")
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with Sampler(find_meters(tmp_path, ["hwmon"])) as sampler:
        sampler.measure_idle(60, stop)
    with Sampler([]) as sampler:
        sampler.measure_idle(60, threading.Event())
    assert time.monotonic() - began < 20


def test_the_sum_of_an_agx_orin_counts_memory_once(tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "agx-orin-64")
    with Sampler(find_meters(tmp_path, ["hwmon"])) as sampler:
        sampler.measure_idle(0.2, threading.Event())
        sampler.begin(time.monotonic_ns())
        time.sleep(0.3)
        (meter,) = sampler.end(time.monotonic_ns())
    assert meter.total is None
    assert meter.summed == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert len(meter.rails) == 4
    assert meter.idle_mw == pytest.approx(21000)
    assert meter.joules == pytest.approx(sum(rail.joules for rail in meter.rails if rail.name in meter.summed))


def test_a_sum_that_lacks_a_rail_is_not_measured_and_every_reading_missed_it(tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "agx-orin-64")
    jetson_sysfs.rail_files(tmp_path, "VDD_GPU_SOC")["amperes"].write_text("")
    with Sampler(find_meters(tmp_path, ["hwmon"])) as sampler:
        sampler.begin(time.monotonic_ns())
        time.sleep(0.3)
        (meter,) = sampler.end(time.monotonic_ns())
    assert (meter.joules, meter.coverage) == (None, 0)
    assert {rail.name for rail in meter.rails} == {"VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    assert meter.missed >= meter.samples > 0


def test_a_rail_that_appears_late_and_one_that_fails_are_marked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hwmon, "REDISCOVER_S", 0.2)
    jetson_sysfs.write_files(tmp_path, "orin-nx-16")
    late = jetson_sysfs.rail_files(tmp_path, "VDD_CPU_GPU_CV")["label"]
    late.unlink()
    with Sampler(find_meters(tmp_path, ["hwmon"])) as sampler:
        sampler.begin(time.monotonic_ns())
        time.sleep(0.5)
        late.write_text("VDD_CPU_GPU_CV\n")
        jetson_sysfs.rail_files(tmp_path, "VDD_SOC")["amperes"].write_text("")
        time.sleep(1.0)
        (meter,) = sampler.end(time.monotonic_ns())
    assert meter.missed > 0
    assert {rail.name for rail in meter.rails} == {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}
    remarks = "; ".join(meter.remarks)
    assert "VDD_CPU_GPU_CV appeared" in remarks
    assert "VDD_SOC could not be read" in remarks
    assert "VDD_SOC was measured" in remarks


def test_marks_may_lie_in_the_past() -> None:
    with Sampler([Steady()]) as sampler:
        begin = time.monotonic_ns()
        time.sleep(0.3)
        end = time.monotonic_ns()
        time.sleep(0.3)
        sampler.begin(begin)
        (meter,) = sampler.end(end)
    assert meter.joules == pytest.approx(0.1 * (end - begin) / 1e9 * meter.coverage)
    assert meter.coverage > 0.5


def test_seconds_are_told_once() -> None:
    steady = Steady()
    with Sampler([steady]) as sampler:
        time.sleep(0.1)
        steady.mw = 300.0
        time.sleep(0.1)
        low, mean, high = sampler.second()["steady/A"]
        time.sleep(0.1)
        assert sampler.second()["steady/A"] == (300, 300, 300)
    assert (low, high) == (100, 300)
    assert 100 < mean < 300


def test_a_meter_that_hangs_holds_up_no_other(monkeypatch) -> None:
    monkeypatch.setattr("runtime.power.sampler.STOP_S", 0.2)
    hangs, works = Steady(), Steady()
    hangs.hang.clear()
    with Sampler([hangs, works]) as sampler:
        sampler.begin(time.monotonic_ns())
        time.sleep(0.2)
        dead, alive = sampler.end(time.monotonic_ns())
    hangs.hang.set()
    assert dead.joules is None
    assert dead.coverage == 0
    assert alive.joules is not None
    assert works.closed


def test_no_meter_measures_nothing() -> None:
    with Sampler([]) as sampler:
        sampler.begin(0)
        assert sampler.end(1) == []
        assert sampler.second() == {}


def test_memory_does_not_grow_with_time(monkeypatch) -> None:
    monkeypatch.setattr("runtime.power.watch.LAG_NS", 50_000_000)
    with Sampler([Steady()]) as sampler:
        sampler.begin(time.monotonic_ns())
        time.sleep(0.5)
        waiting = sampler._watches[0]._waiting
        assert len(waiting) <= 8
        (meter,) = sampler.end(time.monotonic_ns())
    assert meter.samples > len(waiting)


def test_the_load_of_a_test_is_a_known_one(tmp_path: Path) -> None:
    file = tmp_path / "curr1_input"
    file.write_text("00000\n")
    curve = Load(file, 0.2).curve()
    begin, end = curve.timestamps_ns[0], curve.timestamps_ns[-1]
    mean = curve.joules(begin, end, 1000) / ((end - begin) / 1e9)
    assert 1.2 < mean < 2.0  # a sine's first fifth of a second
