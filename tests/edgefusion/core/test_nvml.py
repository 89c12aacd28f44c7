from __future__ import annotations

import json
from pathlib import Path

import pytest
from nvml import fake_nvml

from edgefusion.core import devices, nvml
from edgefusion.core.devices import find_device, this_gpu
from edgefusion.core.errors import MachineError

NOT_SUPPORTED = 3


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``machine("NVIDIA L4")`` gives this machine that GPU and no device tree."""

    def give(name: str, **answers: int) -> None:
        monkeypatch.setattr(nvml, "LIBRARY", str(fake_nvml(tmp_path, name, **answers)))
        monkeypatch.setattr(devices, "DEVICE_TREE", tmp_path / "none")

    return give


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("NVIDIA GeForce RTX 4070", "rtx-4070"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "rtx-4070-ti-super"),
        ("GeForce RTX 2080 Ti", "rtx-2080-ti"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("NVIDIA GB10", "gb10"),
    ],
)
def test_a_gpu_is_known_by_its_exact_product_name(machine, product: str, name: str) -> None:
    machine(product)
    assert nvml.gpu_name() == product
    assert find_device("rtx").name == name


@pytest.mark.parametrize(("installed", "name"), [({"tensorrt_rtx", "pycuda"}, "rtx-4070"), ({"tensorrt_rtx"}, "cpu")])
def test_auto_is_the_gpu_where_what_executes_on_it_is_installed(
    machine, monkeypatch: pytest.MonkeyPatch, installed: set[str], name: str
) -> None:
    machine("NVIDIA GeForce RTX 4070")
    monkeypatch.setattr(devices, "find_spec", lambda module: module in installed)
    assert find_device("auto").name == name


@pytest.mark.parametrize(
    "product", ["NVIDIA GeForce RTX 4070 Laptop GPU", "NVIDIA GeForce GTX 1080", "NVIDIA H100 PCIe"]
)
def test_a_gpu_without_a_row_is_not_taken_for_another(machine, edgefusion, product: str) -> None:
    machine(product)
    assert find_device("auto").name == "cpu"
    finding = gpu_finding(edgefusion)
    assert not finding["ok"]
    assert product in finding["detail"]
    assert "edgefusion devices" in finding["remedy"]


@pytest.mark.parametrize("answers", [{"init": 9}, {"handle": NOT_SUPPORTED}, {"answer": NOT_SUPPORTED}])
def test_a_library_that_answers_nothing_is_no_gpu(machine, answers: dict[str, int]) -> None:
    machine("NVIDIA Orin", **answers)
    assert nvml.gpu_name() is None
    assert find_device("auto").name == "cpu"


def test_without_the_library_there_is_no_gpu(tmp_path: Path) -> None:
    assert nvml.gpu_name(str(tmp_path / "libnvidia-ml.so.1")) is None
    assert this_gpu(str(tmp_path / "libnvidia-ml.so.1")) is None


def test_the_device_tree_comes_before_nvml(machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("NVIDIA GeForce RTX 4070")
    tree = tmp_path / "compatible"
    tree.write_bytes(b"nvidia,p3768-0000+p3767-0000\0nvidia,tegra234\0")
    monkeypatch.setattr(devices, "DEVICE_TREE", tree)
    assert find_device("auto").name == find_device("orin").name == "orin-nx-16"
    with pytest.raises(MachineError, match="the RTX GPU of the machine"):
        find_device("rtx")


def test_doctor_shows_the_gpu_and_its_row(machine, edgefusion) -> None:
    machine("NVIDIA GeForce RTX 4070")
    assert gpu_finding(edgefusion)["detail"] == "NVIDIA GeForce RTX 4070: rtx-4070 (SM 8.9, 12 GB, tensorrt_rtx)"


def gpu_finding(edgefusion) -> dict[str, object]:
    findings = json.loads(edgefusion("doctor", "--json").stdout)["findings"]
    return next(finding for finding in findings if finding["name"] == "NVIDIA GPU")
