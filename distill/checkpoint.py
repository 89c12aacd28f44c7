"""Student checkpoints: safetensors and a JSON config, never a pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill.students import build
from distill.students.student import Student
from edgefusion.core.errors import InputError, UsageError

WEIGHTS, CONFIG = "student.safetensors", "student.json"


def save(folder: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Write weights and config so that each file is whole: an interrupted save leaves the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{WEIGHTS}.part"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    os.replace(part, folder / WEIGHTS)
    part = folder / f".{CONFIG}.part"
    part.write_text(json.dumps(config, indent=2) + "\n")
    os.replace(part, folder / CONFIG)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and config of a checkpoint.

    Raises:
        InputError: no checkpoint there, a damaged one, or one with NaN or infinite weights.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"not a student checkpoint ({error})", where=folder) from error
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(f"weights that are not finite: {', '.join(broken[:10])}", where=folder / WEIGHTS)
    return tensors, config


def load_student(folder: Path) -> tuple[Student, dict[str, Any]]:
    """The trained student of a checkpoint, in evaluation mode, not folded. Needs nothing but the checkpoint.

    Raises:
        InputError: see ``load``; a student that is not known here, or weights that are not its own.
    """
    tensors, config = load(folder)
    try:
        student = build(str(config.get("arch")), pretrained=False)
        student.load_state_dict(tensors)
    except UsageError as error:
        raise InputError(f"unknown student {config.get('arch')!r}", where=folder / CONFIG) from error
    except RuntimeError as error:
        raise InputError(f"weights of another student than {config['arch']}", where=folder / WEIGHTS) from error
    return student.eval(), config
