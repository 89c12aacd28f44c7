"""A desktop GPU's power, from a driver's library that is compiled here."""

from __future__ import annotations

from pathlib import Path

import pytest
from nvml import fake_nvml

from edgefusion.core.errors import MachineError
from runtime.power import nvml

NAME = "NVIDIA GeForce RTX 4070"


def open_meter(folder: Path, **answers: int) -> nvml.NvmlMeter:
    return nvml.open_meter(Path("/"), str(fake_nvml(folder, NAME, **answers)))


def test_the_counter_of_energy_is_preferred_and_loses_nothing(tmp_path: Path) -> None:
    meter = open_meter(tmp_path, energy=0, power=0, joule=7)
    first, second, third = meter.read(), meter.read(), meter.read()
    meter.close()
    assert meter.averages
    assert first.mw == {}
    for before, after in ((first, second), (second, third)):
        span_s = (after.timestamp_ns - before.timestamp_ns) / 1e9
        assert after.mw["GPU"] * span_s == pytest.approx(7000)


def test_power_is_read_where_no_energy_is_counted(tmp_path: Path) -> None:
    meter = open_meter(tmp_path, energy=3, power=0)
    assert not meter.averages
    assert meter.read().mw == {"GPU": 81250}
    assert (meter.layout.scope, meter.layout.total) == ("GPU board", "GPU")
    meter.close()


def test_a_jetson_that_does_not_support_it_has_no_such_meter(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="a Jetson's NVML does not measure power"):
        open_meter(tmp_path)


def test_no_gpu_and_no_driver(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="NVML has no GPU"):
        open_meter(tmp_path, handle=6)
    with pytest.raises(MachineError, match="NVML does not start"):
        open_meter(tmp_path, init=9)
    with pytest.raises(MachineError, match="no NVIDIA driver"):
        nvml.open_meter(Path("/"), "libnot-here.so.1")
