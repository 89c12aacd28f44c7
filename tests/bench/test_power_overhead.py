"""What reading power meters costs, as a part of one processor."""

from __future__ import annotations

import time
from pathlib import Path

import jetson_sysfs
import pytest

from runtime.machine.readings import Readings
from runtime.power.meters import find_meters
from runtime.power.sampler import Sampler

pytestmark = pytest.mark.slow

SECONDS = 10


@pytest.mark.parametrize("module", list(jetson_sysfs.MODULES))
def test_reading_hwmon_takes_less_than_a_hundredth_of_a_processor(tmp_path: Path, module: str) -> None:
    """At the sensors' own rate. The process's time, so that nothing that it does is left out."""
    jetson_sysfs.write_files(tmp_path, module)
    with Sampler(find_meters(tmp_path, ["hwmon"])) as sampler, Readings(tmp_path) as readings:
        sampler.begin(time.monotonic_ns())
        began = time.process_time(), time.monotonic()
        for _ in range(SECONDS):
            time.sleep(1)
            sampler.second()
            readings.read()
        part = (time.process_time() - began[0]) / (time.monotonic() - began[1])
        (meter,) = sampler.end(time.monotonic_ns())
    print(f"{module}: {part:.2%} of one processor, {meter.samples / SECONDS:.1f} readings a second")
    assert part < 0.01
