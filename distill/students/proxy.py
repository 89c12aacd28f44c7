"""The proxy family: plain 3x3 convolutions on pixel-unshuffled luma, after FusionProxy (arXiv 2605.06010)."""

from __future__ import annotations

import itertools

from torch import nn

from distill.students.student import FoldableConv, Student

WIDTHS = {
    "proxy-nano": (32, 32, 32),
    "proxy-small": (32, 32, 32, 32, 32),
    "proxy-base": (32, 64, 64, 64, 64, 64),
}
"""Channels of each layer's input and of the body's output, per student."""


def build(arch: str, *, pretrained: bool) -> Student:
    """A student of this family, with random weights whatever ``pretrained`` says: nobody publishes any.

    Args:
        arch: a key of ``WIDTHS``.
        pretrained: see ``students.build``.
    """
    widths = WIDTHS[arch]
    layers: list[nn.Module] = []
    for channels_in, channels_out in itertools.pairwise(widths):
        layers += [FoldableConv(channels_in, channels_out, identity=channels_in == channels_out), nn.ReLU()]
    return Student(arch, nn.Sequential(*layers), widths[-1])
