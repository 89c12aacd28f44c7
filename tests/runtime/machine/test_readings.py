"""The machine's state through time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import jetson_sysfs
import pytest
from jetson_sysfs import cooling_state, rail_files, write

from runtime.machine.readings import Readings


@pytest.fixture
def jetson(tmp_path: Path) -> Iterator[Readings]:
    jetson_sysfs.write_files(tmp_path, "orin-nx-16")
    write(tmp_path / "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "1984000\n")
    write(tmp_path / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", "1984000\n")
    write(tmp_path / "proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0\ncpu0 1 2 3\n")
    write(tmp_path / "proc/self/statm", "900 250 30 1 0 200 0\n")
    with Readings(tmp_path) as readings:
        yield readings


def test_temperatures_clocks_and_fan(jetson: Readings, tmp_path: Path) -> None:
    state = jetson.read()
    assert state.temperatures_c == {
        "cpu-thermal": 45.0, "gpu-thermal": 46.5, "soc0-thermal": 48.0, "tj-thermal": 49.5,
    }  # fmt: skip
    assert state.clocks_mhz == {"cpu0": 1984.0, "gpu": 612.0}
    assert state.fan_rpm == 1850
    write(tmp_path / "sys/class/devfreq/17000000.gpu/cur_freq", "918000000\n")
    assert jetson.read().clocks_mhz["gpu"] == 918.0


def test_a_zone_that_is_off_is_left_out(jetson: Readings, tmp_path: Path) -> None:
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", "-256000\n")
    write(tmp_path / "sys/class/thermal/thermal_zone1/temp", "")
    assert jetson.read().temperatures_c.keys() == {"soc0-thermal", "tj-thermal"}


def test_throttling_counts_from_the_start(jetson: Readings, tmp_path: Path) -> None:
    assert set(jetson.read().throttled.values()) == {0}
    counter = next(tmp_path.glob("sys/class/hwmon/hwmon9/oc2_event_cnt"))
    alarm = rail_files(tmp_path, "VDD_SOC")["alarm"]
    counter.write_text("3\n")
    alarm.write_text("1\n")
    jetson.read()
    state = jetson.read()
    assert (state.throttled["oc2"], state.throttled["VDD_SOC critical"]) == (3, 1)
    alarm.write_text("0\n")
    jetson.read()
    alarm.write_text("1\n")
    assert jetson.read().throttled["VDD_SOC critical"] == 2


@pytest.mark.parametrize("kind", ["gpu-throttle-alert", "soc2-throttle-alert", "cpufreq-cpu0", "devfreq-17000000.gpu"])
def test_a_cooling_device_that_slows_something_down_is_throttling(jetson: Readings, tmp_path: Path, kind: str) -> None:
    assert jetson.read().throttled[kind] == 0
    state = cooling_state(tmp_path, kind)
    for level in ("1\n", "3\n", "0\n", "2\n"):
        state.write_text(level)
        read = jetson.read().throttled
    assert {name: count for name, count in read.items() if count} == {kind: 2}


def test_a_fan_at_work_is_no_throttling(jetson: Readings, tmp_path: Path) -> None:
    cooling_state(tmp_path, "pwm-fan").write_text("4\n")
    assert not any(jetson.read().throttled.values())
    assert "pwm-fan" not in jetson.read().throttled


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("gpu limit lowered", "sys/class/devfreq/17000000.gpu/max_freq", "510000000\n"),
        ("cpu0 limit lowered", "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", "1510000\n"),
    ],
)
def test_a_limit_below_what_it_was_is_throttling(
    jetson: Readings, tmp_path: Path, name: str, file: str, text: str
) -> None:
    assert jetson.read().throttled[name] == 0
    before = (tmp_path / file).read_text()
    for limit in (text, text, before, text):
        write(tmp_path / file, limit)
        read = jetson.read().throttled
    assert {name: count for name, count in read.items() if count} == {name: 2}


def test_steal_is_of_the_time_since_the_last_call(jetson: Readings, tmp_path: Path) -> None:
    write(tmp_path / "proc/stat", "cpu  140 0 110 740 0 0 0 110 99 0\ncpu0 1 2 3\n")
    assert jetson.read().steal == pytest.approx(0.1)
    assert jetson.read().steal is None  # no time has passed


def test_counters_that_go_back_count_nothing(jetson: Readings, tmp_path: Path) -> None:
    counter = next(tmp_path.glob("sys/class/hwmon/hwmon9/oc2_event_cnt"))
    counter.write_text("-4\n")  # as where its driver was loaded anew
    assert jetson.read().throttled["oc2"] == 0
    write(tmp_path / "proc/stat", "cpu  200 0 100 700 0 0 0 90 0 0\n")
    assert jetson.read().steal == 0
    write(tmp_path / "proc/stat", "cpu  200 0 100 690 0 0 0 190 0 0\n")
    assert jetson.read().steal == 1


def test_memory(jetson: Readings) -> None:
    assert jetson.read().resident_mb == pytest.approx(250 * os.sysconf("SC_PAGE_SIZE") / 1e6)


def test_this_machine() -> None:
    with Readings() as readings:
        readings.read()
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        state = readings.read()
    assert 0.01 < (state.cpu or 0) < os.cpu_count() * 1.5
    assert (state.resident_mb or 0) > 10
    assert state.steal is None or 0 <= state.steal <= 1


def test_nothing_is_left_open(tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "thor-t5000")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Readings(tmp_path) as readings:
            assert readings.read().clocks_mhz == {"gpu": 612.0}
    assert len(os.listdir("/proc/self/fd")) == before
