"""States of stopped runs that something happened to."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def spoil_state(path: Path, name: str, value: float) -> None:
    """Put ``value`` first into one of a state's tensors; everything else stays."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as stored:
        about: dict[str, Any] = stored.metadata()
    tensors = load_file(path)
    tensors[name][0] = value
    save_file(tensors, path, about)
