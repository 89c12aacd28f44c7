"""Versions and settings of a Jetson, from its files."""

from __future__ import annotations

from pathlib import Path

import jetson_sysfs
import pytest
from jetson_sysfs import write

from runtime.machine.software import driver, governors, jetpack, l4t, module, software

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"
MODES = """
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=15W >
< PM_CONFIG DEFAULT=2 >
"""
PACKAGES = """Package: nvidia-l4t-core
Status: install ok installed
Version: 36.4.3-20250107174145

Package: nvidia-jetpack
Status: install ok installed
Architecture: arm64
Version: 6.2+b77
"""


def write_versions(root: Path) -> None:
    jetson_sysfs.write_files(root, "orin-nx-16")
    write(root / "etc/nv_tegra_release", RELEASE)
    write(root / "etc/nvpmodel.conf", MODES)
    write(root / "var/lib/nvpmodel/status", "pmode:0002 fmode:cool\n")
    write(root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "schedutil\n")
    write(root / "sys/devices/system/cpu/cpufreq/policy4/scaling_governor", "performance\n")


def test_everything_of_a_jetson(tmp_path: Path) -> None:
    write_versions(tmp_path)
    found = software("10.3.0", tmp_path)
    assert found.module == "Jetson Orin NX 16GB"
    assert (found.l4t, found.jetpack, found.power_mode) == ("36.4.3", "6.2", "15W")
    assert found.governors == {"cpu0": "schedutil", "cpu4": "performance", "gpu": "nvhost_podgov"}
    assert found.backend_version == "10.3.0"


def test_a_machine_that_is_no_jetson(tmp_path: Path) -> None:
    found = software(root=tmp_path)
    assert (found.module, found.l4t, found.jetpack, found.power_mode) == (None, None, None, None)
    assert found.governors == {}
    assert found.processor
    assert found.edgefusion


@pytest.mark.parametrize("name", ["agx-orin-64", "thor-t5000"])
def test_other_modules(tmp_path: Path, name: str) -> None:
    jetson_sysfs.write_files(tmp_path, name)
    assert {"agx-orin-64": "AGX Orin", "thor-t5000": "T5000"}[name] in (module(tmp_path) or "")
    assert governors(tmp_path) == {"gpu": "nvhost_podgov"}


def test_jetpack_is_the_packages_word_or_what_l4t_implies(tmp_path: Path) -> None:
    assert [jetpack(release, tmp_path) for release in ("36.3.0", "36.4.0", "36.4.3", "38.2.1", "36.9.9", None)] == [
        "6.0", "6.1", "6.2", "7.0", None, None,
    ]  # fmt: skip
    write(tmp_path / "var/lib/dpkg/status", PACKAGES)
    assert jetpack("36.4.4", tmp_path) == "6.2"


def test_unreadable_versions_are_none(tmp_path: Path) -> None:
    write(tmp_path / "etc/nv_tegra_release", "something else\n")
    write(tmp_path / "etc/nvpmodel.conf", MODES)
    write(tmp_path / "var/lib/nvpmodel/status", "pmode:0007\n")
    assert l4t(tmp_path) is None
    assert software(root=tmp_path).power_mode is None


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain)  Wed Jan 8\n",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  540.4.0  Thu Jan 11 22:11:01 UTC 2025\n",
    ],
)
def test_driver(tmp_path: Path, line: str) -> None:
    write(tmp_path / "proc/driver/nvidia/version", line + "GCC version: 12.3.0\n")
    assert driver(tmp_path) == "540.4.0"
