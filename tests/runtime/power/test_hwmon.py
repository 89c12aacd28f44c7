"""The kernel's power monitors: which rails, what they are the power of, and what becomes of those that fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import jetson_sysfs
import pytest

from edgefusion.core.errors import MachineError
from runtime.power import hwmon
from runtime.power.hwmon import HwmonMeter


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Opens the meter of a module whose files are under tmp_path; it looks around often."""
    monkeypatch.setattr(hwmon, "REDISCOVER_S", 0.2)
    meters: list[HwmonMeter] = []

    def open_meter(module: str | None = None) -> HwmonMeter:
        if module:
            jetson_sysfs.write_files(tmp_path, module)
        meters.append(hwmon.open_meter(tmp_path))
        return meters[-1]

    yield open_meter
    for meter in meters:
        meter.close()


def read_until(meter: HwmonMeter, wanted: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Read until it is so."""
    deadline = time.monotonic() + 30
    while not wanted(mw := meter.read().mw):
        assert time.monotonic() < deadline, mw
        time.sleep(0.02)
    return mw


@pytest.mark.parametrize(
    ("module", "scope", "total", "summed"),
    [
        ("orin-nx-16", "module input", "VDD_IN", ()),
        ("agx-orin-64", "sum of rails", None, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        ("thor-t5000", "board input", "VIN", ()),
    ],
)
def test_layout_of_each_module(opened, module: str, scope: str, total: str | None, summed: tuple[str, ...]) -> None:
    layout = opened(module).layout
    assert (layout.scope, layout.total, layout.summed) == (scope, total, summed)


def test_reads_milliwatts_of_every_connected_rail_once(opened) -> None:
    mw = opened("agx-orin-64").read().mw
    assert mw == {"VDD_GPU_SOC": 3500, "VDD_CPU_CV": 7000, "VIN_SYS_5V0": 10500, "VDDQ_VDD2_1V8AO": 7000}


def test_interval_is_the_sensors(opened, tmp_path: Path) -> None:
    assert opened("orin-nx-16").interval_s == pytest.approx(0.034)
    next(tmp_path.glob("sys/bus/i2c/devices/1-0040/hwmon/*/update_interval")).write_text("256\n")
    assert opened().interval_s == pytest.approx(0.256)


def test_an_ina238_that_only_knows_its_power(opened, tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "thor-t5000")
    chip = jetson_sysfs.rail_files(tmp_path, "VIN")
    for file in chip.values():
        file.unlink()
    chip["volts"].with_name("power1_input").write_text("41250000\n")
    assert opened().read().mw["VIN"] == 41250


def test_the_sum_of_shunt_voltages_is_no_rail(opened, tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "orin-nx-16")
    folder = jetson_sysfs.rail_files(tmp_path, "VDD_IN")["label"].parent
    for name, text in {"in7_label": "sum of shunt voltages", "in7_input": "9", "curr4_input": "9"}.items():
        (folder / name).write_text(text)
    assert opened().rails() == ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")


def test_a_rail_that_appears_late_is_found(opened, tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "orin-nx-16")
    label = jetson_sysfs.rail_files(tmp_path, "VDD_IN")["label"]
    label.unlink()
    meter = opened()
    assert meter.layout.total is None
    assert meter.layout.summed == ()  # nobody knows whether one of the two others lies behind the other
    label.write_text("VDD_IN\n")
    assert read_until(meter, lambda mw: "VDD_IN" in mw)["VDD_IN"] == 3500
    assert meter.layout.total == "VDD_IN"


def test_a_rail_that_cannot_be_read_is_missing_and_marked_until_it_is_back(opened, tmp_path: Path) -> None:
    meter = opened("orin-nx-16")
    file = jetson_sysfs.rail_files(tmp_path, "VDD_SOC")["amperes"]
    file.write_text("")
    assert meter.read().mw.keys() == {"VDD_IN", "VDD_CPU_GPU_CV"}
    assert any("VDD_SOC" in text for text in meter.remarks.all())
    file.unlink()
    file.write_text("100\n")  # another file: its driver was loaded anew
    assert read_until(meter, lambda mw: "VDD_SOC" in mw)["VDD_SOC"] == 500


def test_no_monitor_says_so(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no INA3221 or INA238"):
        hwmon.open_meter(tmp_path)


def test_monitors_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "orin-nx-16")
    for file in tmp_path.glob("sys/bus/i2c/devices/*/hwmon/hwmon*/curr*_input"):
        file.write_text("")
    with pytest.raises(MachineError, match="ina3221 is there, but VDD_IN"):
        hwmon.open_meter(tmp_path)
