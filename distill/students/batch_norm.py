"""Folding BatchNorm into the convolution before it, wherever the graph of the network says that this is exact."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
NORMALISATION = torch.ops.aten.batch_norm.default


def fold_batch_norm(network: nn.Module, x: Tensor) -> None:
    """Fold in place; a BatchNorm whose input is not one convolution's output, used nowhere else, stays.

    The graph is traced, not guessed from the order of modules: what lies beside each other need not be connected.

    Args:
        network: in evaluation mode.
        x: an input that it takes.
    """
    program = torch.export.export(network, (x,))
    held = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target is NORMALISATION and _follows_one(node, held):
            convolution = _owner(network, held[node.args[0].args[1].name])
            place = held[node.args[3].name].rpartition(".")[0]
            _merge(convolution, network.get_submodule(place))
            # timm's normalisations carry their activation
            network.set_submodule(place, getattr(network.get_submodule(place), "act", nn.Identity()))


def _follows_one(node: Any, held: dict[str, str]) -> bool:
    """Whether it normalises one convolution's output, which nothing else uses, nor the convolution's weights."""
    before, statistics = node.args[0], node.args[3]
    if before.target not in CONVOLUTIONS or len(before.users) > 1 or statistics is None:
        return False
    weight = before.args[1]
    return weight.name in held and len(weight.users) == len(statistics.users) == 1


def _owner(network: nn.Module, parameter: str) -> Any:
    return network.get_submodule(parameter.rpartition(".")[0])


def _merge(convolution: Any, norm: Any) -> None:
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
