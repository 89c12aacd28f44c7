"""Posterior samples on disk: what the conditional teacher is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from edgefusion.core.errors import InputError
from edgefusion.core.files import atomic_write

TARGET = "samples of the posterior teacher"
_STACK = "visible_thermal_fused"


def save_samples(path: Path, stack: npt.NDArray[np.float16], provenance: dict[str, str]) -> None:
    """Write samples of one pair or crop.

    Args:
        path: a ``.safetensors`` file.
        stack: [N, 3, H, W] in 0..1: visible luma, thermal and one posterior sample.
        provenance: teacher digest and seeds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.write(save({_STACK: np.ascontiguousarray(stack)}, {**provenance, "target": TARGET}))


def load_samples(folder: Path) -> list[npt.NDArray[np.float16]]:
    """All samples of a folder, [3, H, W] each.

    Raises:
        InputError: no samples there, or files that do not say that the posterior teacher drew them.
    """
    found = [sample for path in sorted(folder.glob("*.safetensors")) for sample in _read(path)]
    if not found:
        raise InputError("no samples", where=folder, remedy="draw some: edgefusion distill ensemble --keep-samples DIR")
    return found


def _read(path: Path) -> Any:
    try:
        with safe_open(path, "np") as stored:
            target = (stored.metadata() or {}).get("target")
            stack = stored.get_tensor(_STACK) if target == TARGET else None
    except (OSError, SafetensorError) as error:
        raise InputError(f"samples cannot be read ({error})", where=path) from error
    if stack is None:
        raise InputError(
            f"the target is {target!r}", where=path, remedy=f"a conditional teacher learns from {TARGET} only"
        )
    return stack
