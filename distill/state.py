"""The state of a stopped run: one safetensors file, so that weights and step can never disagree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from edgefusion.core.errors import InputError
from edgefusion.core.files import atomic_write


def save_state(path: Path, modules: dict[str, nn.Module], optimiser: Optimizer, facts: dict[str, Any]) -> None:
    """Write modules, moments of the optimiser and ``facts`` (JSON) in one stroke.

    Raises:
        MachineError: the place is not writable or full.
    """
    tensors = {
        f"{name}/{key}": tensor for name, module in modules.items() for key, tensor in module.state_dict().items()
    }
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": tensor for name, tensor in moments.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, {"facts": json.dumps(facts)}
    )
    with atomic_write(path) as stream:
        stream.write(content)


def read_facts(path: Path) -> dict[str, Any]:
    """What was saved beside the tensors.

    Raises:
        InputError: not such a file, or a damaged one.
    """
    return _read(path)[1]


def load_state(path: Path, modules: dict[str, nn.Module], optimiser: Optimizer) -> None:
    """Put everything back where it came from.

    Raises:
        InputError: not such a file, a damaged one, or one with NaN or infinite weights.
    """
    tensors, _ = _read(path)
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(f"weights that are not finite: {', '.join(broken[:5])}", where=path)
    for name, module in modules.items():
        prefix = f"{name}/"
        module.load_state_dict({key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)})
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimiser/"):
            _, index, moment = key.split("/")
            state.setdefault(int(index), {})[moment] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as stored:
            facts: dict[str, Any] = json.loads(stored.metadata()["facts"])
            return {name: stored.get_tensor(name) for name in stored.keys()}, facts  # noqa: SIM118  # it is no dict
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"not the state of a run ({error})", where=path, remedy="delete it to start anew") from error
