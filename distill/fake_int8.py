"""A folded student that computes as its int8 model will, and can be trained so: modelopt's fake quantization.

The rules are those of ``edgefusion quantize``: symmetric int8, weights with a step for each output channel, the input
of every convolution with one step, channels equalised first. The gradient passes rounding as if it were not there
(straight-through, Jacob et al., CVPR 2018), so the trained weights themselves may lie anywhere within a step and
compute something else (35 dB from where they began). The rounded ones are kept; int8 holds them exactly.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from distill.students.student import FoldableConv, Student
from edgefusion.core.errors import UsageError
from edgefusion.core.optional import modelopt

SMALLEST_SHARE = 1e-3
"""Of the largest range: a channel that is always zero is left about as it is."""

CONFIG = {
    "quant_cfg": [
        {"quantizer_name": "*", "enable": False},
        # dynamic: the largest weight of a channel is always level 127, as where it is rounded for good
        {"quantizer_name": "*weight_quantizer", "cfg": {"num_bits": 8, "axis": 0, "type": "dynamic"}},
        {"quantizer_name": "*input_quantizer", "cfg": {"num_bits": 8, "axis": None}},
    ],
    "algorithm": "max",
}


def check_plain(student: Student) -> None:
    """Raises UsageError for a student whose body is anything but foldable convolutions with ReLU between."""
    layers = student.body.children() if isinstance(student.body, nn.Sequential) else [student.body]
    if not all(isinstance(layer, FoldableConv | nn.ReLU) for layer in layers):
        raise UsageError(f"{student.arch} cannot be fine-tuned in int8", remedy="choose a student of the proxy family")


def fake_quantized(student: Student, inputs: Tensor) -> Student:
    """A student folded, with equalised channels, that rounds inputs and weights of every convolution to int8.

    Args:
        student: of ``check_plain``; stays as it is.
        inputs: [N, 32, H/4, W/4], whose largest activations are the ranges.

    Raises:
        MachineError: modelopt is not installed.
    """
    folded = student.fold().requires_grad_(True)
    equalize(folded, inputs)
    with modelopt("torch.quantization") as quantization:
        made: Student = quantization.quantize(folded, CONFIG, lambda network: network(inputs))
    return made


@torch.no_grad()
def equalize(folded: Student, inputs: Tensor) -> None:
    """Give all channels of an activation one range, in place; what is computed stays the same.

    ReLU lets a factor through; see ``quantize/equalize.py`` (Nagel et al., ICCV 2019, equations 7 and 11).

    Args:
        folded: of ``check_plain``, folded.
        inputs: [N, 32, H/4, W/4], whose largest activations are the ranges.
    """
    convolutions = [layer for layer in folded.body.children() if isinstance(layer, nn.Conv2d)]
    head: Any = folded.head
    features: Any = inputs
    for here, after in itertools.pairwise([*convolutions, head]):
        features = here(features).relu()
        largest = features.amax(dim=(0, 2, 3))
        factors = torch.maximum(largest, largest.max().clamp(min=1e-6) * SMALLEST_SHARE)
        here.weight /= factors[:, None, None, None]
        here.bias /= factors
        after.weight *= factors[:, None, None]
        features = features / factors[:, None, None]


@torch.no_grad()
def rounded(student: Student, trained: Student) -> Student:
    """The student with the weights that a fake-quantized one computes with, in its own, unfolded layout.

    Args:
        student: what ``trained`` was made of; stays as it is.
        trained: of ``fake_quantized``.
    """
    made = copy.deepcopy(student)
    for name, part in made.named_modules():
        if isinstance(part, FoldableConv):
            convolution: Any = trained.get_submodule(name)
            part.unfold(convolution.weight_quantizer(convolution.weight), convolution.bias)
    return made
