from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgefusion.core import devices, nvml
from edgefusion.core.devices import Device, find_device, load_devices, this_module
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


@pytest.mark.parametrize(
    ("name", "near"), [("rtx4070", "rtx-4070"), ("RTX-3090-TI", "rtx-3090-ti"), ("orin-nx", "orin-nx-16")]
)
def test_an_unknown_device_brings_the_nearest_names(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"did you mean .*\b{near}\b.*edgefusion devices lists them all"):
        find_device(name)


def test_a_name_like_no_other_brings_the_list() -> None:
    with pytest.raises(UsageError, match="unknown device '!'; edgefusion devices lists them all"):
        find_device("!")


@pytest.mark.parametrize(
    ("alias", "what"), [("orin", "the Orin module"), ("thor", "the Thor module"), ("rtx", "the RTX GPU")]
)
def test_an_alias_means_what_the_machine_has(
    alias: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "DEVICE_TREE", tmp_path / "none")
    monkeypatch.setattr(nvml, "LIBRARY", str(tmp_path / "none"))
    with pytest.raises(MachineError, match=f"{what} of the machine"):
        find_device(alias)


def test_names_are_unique_and_typed_without_shift() -> None:
    names = [device.name for device in load_devices()]
    assert len({*names, *devices.ALIASES, "auto"}) == len(names) + len(devices.ALIASES) + 1
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)
    products = [product for device in load_devices() for product in device.gpu_names]
    assert len(products) == len(set(products))


def test_tensorrt_rtx_serves_every_desktop_row() -> None:
    served = {"7.5", "8.0", "8.6", "8.9", "12.0", "12.1"}  # PLATFORM, section 5
    if find_spec("tensorrt_rtx"):
        import tensorrt_rtx

        names = (name[2:] for name in tensorrt_rtx.ComputeCapability.__members__ if name.startswith("SM"))
        assert {f"{number[:-1]}.{number[-1]}" for number in names} == served
    rows = [device for device in load_devices() if device.backend == "tensorrt_rtx"]
    assert {device.sm for device in rows} == served
    assert all(device.family == "rtx" and device.gpu_names and device.bandwidth_gb_s for device in rows)


PER_CLOCK = {"7.5": 2048, "8.0": 4096, "8.6": 2048, "8.7": 4096, "8.9": 2048, "12.0": 2048}
CORES = {"7.5": 64, "8.0": 64}


@pytest.mark.parametrize(
    "device", [device for device in load_devices() if device.sm_count], ids=lambda device: device.name
)
def test_dense_peaks_follow_from_multiprocessors_and_clock(device: Device) -> None:
    assert device.sm_count
    assert device.cuda_cores == device.sm_count * CORES.get(device.sm, 128)
    for ghz, int8, fp16 in (
        (device.gpu_ghz, device.int8_tops, device.fp16_tops),
        (device.super_gpu_ghz, device.super_int8_tops, device.super_fp16_tops),
    ):
        if int8 and fp16:
            assert fp16 == pytest.approx(int8 / 2, rel=0.01)
        if ghz and int8:
            assert int8 == pytest.approx(device.sm_count * PER_CLOCK[device.sm] * ghz / 1000, rel=0.005)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("rtx-2080-ti", 215.2),
        ("rtx-3090", 285),
        ("a100", 624),
        ("rtx-4090", 1321 / 2),
        ("l4", 242),
        ("rtx-5090", 3352 / 4),
    ],
)
def test_peaks_are_what_nvidia_publishes_halved_where_it_counts_zeros(name: str, published: float) -> None:
    assert find_device(name).int8_tops == pytest.approx(published, rel=0.005)


def test_a_power_mode_is_no_faster_than_its_module() -> None:
    for device in load_devices():
        for mode in device.modes:
            assert mode.gpu_ghz <= max(device.gpu_ghz or 0, device.super_gpu_ghz or 0), (device.name, mode.name)
            assert mode.name.rstrip("W") in device.power_modes.replace(" ", "")
