"""Which meters a machine has."""

from __future__ import annotations

from pathlib import Path

import jetson_sysfs
import pytest

from edgefusion.core.errors import MachineError, UsageError
from runtime.power.meters import find_meters, search


def test_a_jetson_has_hwmon_and_needs_no_jtop(tmp_path: Path) -> None:
    jetson_sysfs.write_files(tmp_path, "orin-nx-16")
    found = search(tmp_path)
    assert "hwmon" in [meter.name for meter in found.meters]
    assert "jtop" not in found.missing
    for meter in found.meters:
        meter.close()


def test_a_machine_without_says_why_for_each_kind(tmp_path: Path) -> None:
    missing = search(tmp_path).missing
    assert {"hwmon", "jtop", "rapl"} <= missing.keys()
    assert all(missing.values())


def test_one_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="power cannot be measured with rapl"):
        find_meters(tmp_path, ["rapl"])


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown power meter 'ammeter'; one of hwmon, jtop, nvml, rapl"):
        find_meters(tmp_path, ["ammeter"])
