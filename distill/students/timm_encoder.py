"""``timm:NAME``: any timm network with features at a quarter of the resolution as encoder, under the shared head.

The phases become two planes again, visible and thermal (DepthToSpace), which the network sees as its image.

Only its deepest layer of stride 4 is used, and what lies behind it is cut off. That is the resolution of the head, so
nothing is resized; sizes that are multiples of 4 need no padding anywhere; and what fusion decides is local: which
source to believe at a pixel. Coarser layers would cost an upsampling that most accelerators dislike.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from timm.models import adapt_input_conv, reparameterize_model
from torch import Tensor, nn

from distill.backbones import digest, fill, layer_strides, read_weights
from distill.students.batch_norm import fold_batch_norm
from distill.students.student import Foldable, Student
from edgefusion.core.errors import InputError

PREFIX = "timm:"
STRIDE = 4
PLANES = 2
OTHER = "choose another encoder"


class Encoder(Foldable):
    """The layers of a timm network up to the deepest of stride 4.

    It stays in evaluation mode: BatchNorm keeps the statistics of pretraining, and only its scale and offset learn. The
    moving average of the weights follows parameters, not statistics; small batches would make these noisy; and with
    frozen ones training computes what the exported network will.

    Args:
        name: timm's.

    Attributes:
        channels: of its output.

    Raises:
        InputError: no such network, or one that is no encoder for images of any size.
    """

    scale: Tensor
    shift: Tensor
    gain: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        strides = layer_strides(name)
        if STRIDE not in strides:
            raise InputError(f"{name} has no layer of stride {STRIDE}", remedy=OTHER)
        level = max(index for index, stride in enumerate(strides) if stride == STRIDE)
        # the getter keeps the network's own names, and nothing behind the layer
        self.network: Any = timm.create_model(
            name, pretrained=False, features_only=True, feature_cls="getter", in_chans=PLANES, out_indices=(level,)
        )
        mean, std = (sum(values) / len(values) for values in _normalisation(name))
        self.register_buffer("scale", torch.tensor(1 / std))
        self.register_buffer("shift", torch.tensor(-mean / std))
        self.register_buffer("gain", torch.ones(()))
        self.train(False)
        self.channels = self._probe(name)

    def train(self, mode: bool = True) -> Encoder:
        """Evaluation mode, whatever the student is in."""
        super().train(False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """[N, 32, H/4, W/4] -> [N, channels, H/4, W/4]."""
        (features,) = self.network(F.pixel_shuffle(x, 4) * self.scale + self.shift)
        scaled: Tensor = features * self.gain
        return scaled

    @torch.no_grad()
    def _probe(self, name: str) -> int:
        """Channels of the output, seen at a size that fits the engine contract and nothing else."""
        x = torch.zeros(1, 32, 9, 15)
        try:
            shape = self(x).shape
        except (AssertionError, AttributeError, RuntimeError) as error:
            raise InputError(f"{name} cannot encode an image of 60x36 ({error})", remedy=OTHER) from error
        if shape[2:] != x.shape[2:]:
            raise InputError(f"{name} gives features {tuple(shape)} for an image of 60x36", remedy=OTHER)
        return int(shape[1])

    def begin(self, weights: dict[str, Tensor], spec: str) -> str:
        """Take a published network's weights, made for RGB; returns the SHA-256 of what was taken.

        Planes get the weights of the colours in turn, as timm does it for networks of other than three channels.
        """
        wanted = self.network.model.state_dict()
        for key in _first_convolutions(self.network.pretrained_cfg):
            if key in weights and key in wanted:
                weights = {**weights, key: adapt_input_conv(PLANES, weights[key])}
        fill(self.network.model, weights, spec)
        self._calm()
        return digest(self.network.model)

    @torch.no_grad()
    def _calm(self) -> None:
        """Make features about unit scale, as measured on smooth noise.

        Published ones reach 10; the optimiser's steps do not shrink with that, and the first would ruin the image.
        """
        noise = torch.rand(1, 32, 4, 4, generator=torch.Generator().manual_seed(0))
        planes = F.interpolate(F.pixel_shuffle(noise, 4), scale_factor=8, mode="bilinear")
        self.gain.fill_(1.0)
        self.gain.fill_(1 / self(F.pixel_unshuffle(planes, 4)).square().mean().sqrt().clamp(min=1e-3))

    def fold(self) -> nn.Module:
        """Parallel branches, where the network has them, and BatchNorm, where it follows a convolution, folded."""
        folded = copy.deepcopy(self)
        folded.network = reparameterize_model(folded.network)
        fold_batch_norm(folded, torch.zeros(1, 32, 9, 15))
        return folded


def build(arch: str, *, pretrained: bool) -> Student:
    """A student of this family; see ``students.build``.

    Args:
        arch: ``timm:NAME``, or ``timm:NAME=FILE`` with a safetensors file of timm's own keys.
        pretrained: whether to look for weights: in the file, an installed package (``backbones.PACKAGED``), or the Hub.
    """
    spec = arch.removeprefix(PREFIX)
    name, _, file = spec.partition("=")
    encoder = Encoder(name)
    taken = encoder.begin(read_weights(name, Path(file) if file else None), spec) if pretrained else None
    return Student(PREFIX + name, encoder, encoder.channels, pretrained=taken)


def _normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    config: Any = timm.get_pretrained_cfg(name)
    return config.mean, config.std


def _first_convolutions(config: dict[str, Any]) -> list[str]:
    first = config["first_conv"]
    return [f"{layer}.weight" for layer in ([first] if isinstance(first, str) else first)]
