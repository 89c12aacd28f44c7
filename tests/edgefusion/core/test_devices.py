from __future__ import annotations

from pathlib import Path

import pytest

from edgefusion.core.devices import find_device, load_devices, this_module
from edgefusion.core.errors import MachineError, UsageError


def tree(tmp_path: Path, compatible: str) -> Path:
    path = tmp_path / "compatible"
    path.write_bytes(compatible.encode() + b"\0nvidia,tegra234\0")
    return path


@pytest.mark.parametrize(
    ("compatible", "name"),
    [
        ("nvidia,p3768-0000+p3767-0000", "orin-nx-16"),
        ("nvidia,p3768-0000+p3767-0005", "orin-nano-8"),
        ("nvidia,p3737-0000+p3701-0005", "agx-orin-64"),
        ("nvidia,p4071-0000+p3834-0008", "thor-t5000"),
    ],
)
def test_a_module_is_known_by_its_p_number(tmp_path: Path, compatible: str, name: str) -> None:
    module = this_module(tree(tmp_path, compatible))
    assert module is not None
    assert module.name == name


def test_another_machine_is_no_module(tmp_path: Path) -> None:
    assert this_module(tree(tmp_path, "raspberrypi,4-model-b")) is None
    assert this_module(tmp_path / "none") is None


def test_xavier_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"Python 3\.8"):
        this_module(tree(tmp_path, "nvidia,p2972-0000+p2888-0001"))
    with pytest.raises(MachineError, match="not supported"):
        find_device("xavier")


def test_an_unknown_device_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="agx-orin-64"):
        find_device("orin-9000")


def test_an_alias_means_the_module_it_runs_on() -> None:
    with pytest.raises(MachineError, match="the Orin module of the machine"):
        find_device("orin")


def test_dense_int8_of_orin_follows_from_its_multiprocessors_and_clock() -> None:
    for device in load_devices():
        if device.family == "orin" and device.sm_count and device.gpu_ghz and device.int8_tops:
            computed = device.sm_count * 4096 * device.gpu_ghz / 1000
            assert device.int8_tops == pytest.approx(computed, rel=0.05), device.name
