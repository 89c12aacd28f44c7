"""Energy counters of x86 processors."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefusion.core.errors import MachineError
from runtime.power import rapl
from runtime.power.meters import find_meters
from runtime.power.sampler import Sampler

RANGE_UJ = 262_143_328_850


def write_zone(root: Path, zone: str, name: str, energy_uj: int) -> Path:
    folder = root / "sys/class/powercap" / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder / "energy_uj"


def count(file: Path, energy_uj: int) -> None:
    """Written over, never cut: a reader meets no empty file."""
    descriptor = os.open(file, os.O_WRONLY)
    os.pwrite(descriptor, f"{energy_uj:012d}\n".encode(), 0)
    os.close(descriptor)


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder, and no right to read what it has not the right to read."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:  # others may not enter pytest's
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield Path(folder)
        if root:
            os.seteuid(0)


def test_one_package_is_the_total_and_counts_on_when_it_begins_again(tmp_path: Path) -> None:
    package = write_zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    write_zone(tmp_path, "intel-rapl:0:0", "core", 0)
    meter = rapl.open_meter(tmp_path)
    assert (meter.layout.scope, meter.layout.total) == ("package", "package-0")
    first = meter.read()
    time.sleep(0.05)
    count(package, 3_000_000)
    second = meter.read()
    meter.close()
    assert (first.mw, second.mw["package-0/core"]) == ({}, 0)
    span_s = (second.timestamp_ns - first.timestamp_ns) / 1e9
    assert second.mw["package-0"] * span_s == pytest.approx(4000)


def test_two_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    for index in (0, 1):
        write_zone(tmp_path, f"intel-rapl:{index}", f"package-{index}", 0)
        write_zone(tmp_path, f"intel-rapl:{index}:0", "dram", 0)
    meter = rapl.open_meter(tmp_path)
    assert meter.layout.summed == ("package-0", "package-1")
    assert set(meter.rails()) == {"package-0", "package-0/dram", "package-1", "package-1/dram"}
    meter.close()


def test_energy_between_marks_is_what_was_counted(tmp_path: Path) -> None:
    package = write_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    with Sampler(find_meters(tmp_path, ["rapl"])) as sampler:
        time.sleep(0.25)
        sampler.begin(time.monotonic_ns())
        time.sleep(0.25)
        for step in range(1, 21):
            time.sleep(0.03)
            count(package, step * 250_000)
        time.sleep(0.25)
        (meter,) = sampler.end(time.monotonic_ns())
    assert meter.joules == pytest.approx(5.0, rel=0.01)
    assert meter.scope == "package"


def test_counters_that_only_root_may_read_say_so(nobody: Path) -> None:
    write_zone(nobody, "intel-rapl:0", "package-0", 0).chmod(0)
    with pytest.raises(MachineError, match=r"Permission denied.*run as root"):
        rapl.open_meter(nobody)


def test_no_counters(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no energy counters"):
        rapl.open_meter(tmp_path)
