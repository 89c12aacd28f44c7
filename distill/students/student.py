"""What all students share: the head, the blend, and folding.

Input ``x`` [N, 32, H/4, W/4]: 16 visible luma phases, then 16 thermal phases, phase 4*dy+dx, in 0..1.
Output ``y`` [N, 16, H/4, W/4]: fused luma ``clip(w * V + (1 - w) * T + r)`` with a weight ``w`` and a
residual ``r`` per pixel. Both come from the head: a 3x3 convolution of the body's features plus one of the input
itself (``skip``), so that every pixel is compared with its own partner at full resolution however narrow the body is.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

PHASES = 16
CONTRAST = 10.0
"""Before training, ``w`` is sigmoid(CONTRAST * (V - T)): a soft choice of the brighter source."""


class Foldable(nn.Module, ABC):
    """A part of a student that is one thing in training and a cheaper, equal one afterwards."""

    @abstractmethod
    def fold(self) -> nn.Module:
        """The cheaper one; this one stays as it is."""


class FoldableConv(Foldable):
    """3x3 + 1x1 + identity branches in training, which sum to one 3x3 convolution (``fold``)."""

    def __init__(self, channels_in: int, channels_out: int, *, identity: bool) -> None:
        super().__init__()
        self.square = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.point = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.identity = identity

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H, W]."""
        y: Tensor = self.square(x) + self.point(x)
        return y + x if self.identity else y

    def fold(self) -> nn.Conv2d:
        """The one convolution that all branches amount to."""
        folded = nn.Conv2d(self.square.in_channels, self.square.out_channels, 3, padding=1)
        weight = self.square.weight.detach().clone()
        weight[:, :, 1, 1] += self.point.weight.detach()[:, :, 0, 0]
        if self.identity:
            weight[:, :, 1, 1] += torch.eye(weight.shape[0])
        folded.load_state_dict({"weight": weight, "bias": self.square.bias})
        return folded

    @torch.no_grad()
    def unfold(self, weight: Tensor, bias: Tensor) -> None:
        """Become the branches of one convolution: what ``fold`` would make of them again.

        Args:
            weight: [C', C, 3, 3].
            bias: [C'].
        """
        square = weight.clone()
        if self.identity:
            square[:, :, 1, 1] -= torch.eye(weight.shape[0])
        self.square.load_state_dict({"weight": square, "bias": bias})
        self.point.weight.zero_()


class Student(nn.Module):
    """A body with the head that all families share.

    Args:
        arch: its name, under which ``students.build`` makes it again.
        body: [N, 32, H/4, W/4] -> [N, channels, H/4, W/4].
        channels: of the body's output.
        pretrained: SHA-256 of the weights that the body begins with, if others trained them.
    """

    def __init__(self, arch: str, body: nn.Module, channels: int, *, pretrained: str | None = None) -> None:
        super().__init__()
        self.arch, self.pretrained = arch, pretrained
        self.body = body
        self.head = FoldableConv(channels, 2 * PHASES, identity=False)
        self.skip = FoldableConv(2 * PHASES, 2 * PHASES, identity=False)
        self._start_at_soft_maximum()

    @torch.no_grad()
    def _start_at_soft_maximum(self) -> None:
        for parameter in (*self.head.parameters(), *self.skip.parameters()):
            parameter.zero_()
        choice = CONTRAST * torch.eye(PHASES)
        self.skip.point.weight[:PHASES, :, 0, 0] = torch.cat([choice, -choice], dim=1)

    def unclipped(self, x: Tensor) -> Tensor:
        """Fused luma before the final clip, so that training sees a gradient everywhere."""
        visible, thermal = x[:, :PHASES], x[:, PHASES:]
        head = self.head(self.body(x)) + self.skip(x)
        weight, residual = torch.sigmoid(head[:, :PHASES]), head[:, PHASES:]
        # visible * w + thermal * (1 - w), with the operators of the engine contract (no Sub)
        fused: Tensor = thermal + weight * (visible + thermal * -1.0) + residual
        return fused

    def forward(self, x: Tensor) -> Tensor:
        """[N, 32, H/4, W/4] -> [N, 16, H/4, W/4] in 0..1."""
        return self.unclipped(x).clip(0, 1)

    def fold(self) -> Student:
        """The same network with every foldable part replaced by what it amounts to."""
        folded = copy.deepcopy(self)
        _fold_children(folded)
        return folded


def _fold_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Foldable):
            module.add_module(name, child.fold())
        else:
            _fold_children(child)
