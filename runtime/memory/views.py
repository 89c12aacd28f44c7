"""Memory that the GPU reaches, as arrays that kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.optional import require


def device_view(pointer: int, shape: tuple[int, ...], dtype: npt.DTypeLike, *, owner: Any = None) -> Any:
    """A device array of numba's over memory that is already there.

    Args:
        pointer: in the GPU's address space.
        shape: C-contiguous.
        dtype: of its elements.
        owner: kept alive as long as the view.
    """
    interface = {
        "version": 3, "shape": shape, "strides": None, "typestr": np.dtype(dtype).str, "data": (pointer, False),
    }  # fmt: skip
    return require("numba.cuda", "cuda12").from_cuda_array_interface(interface, owner=owner)


def numba_stream(handle: int) -> Any:
    """A stream of pycuda's as numba knows it."""
    return require("numba.cuda", "cuda12").external_stream(handle)
