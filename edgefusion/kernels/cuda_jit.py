"""How functions are compiled for a GPU, and how a thread block reads an image row."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator,no-any-return,attr-defined"
# numba infers the types.

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, cuda

THREADS = 4 if config.ENABLE_CUDASIM else 128
"""Of a block; a thread makes four neighbouring pixels of a row. The simulator runs each as a thread of the host."""

ROW_WORDS = 3 * (THREADS + 1) + 2
"""Words of scratch that the pixels of a block, at three bytes each, and one position before them take at most."""

BYTE_BITS, BYTE = np.uint32(8), np.uint32(255)

kernel = cuda.jit


def pixel(function: Any) -> Any:
    """A function of ``kernels.pixels`` for the GPU."""
    return cuda.jit(device=True)(function)


@cuda.jit(device=True)
def byte_at(words, index):
    """Byte ``index`` of little-endian words."""
    return (words[index >> 2] >> np.uint32((index & 3) << 3)) & BYTE


@cuda.jit(device=True)
def fetch_bytes(words, first, last, scratch):
    """All threads of a block: the words with bytes ``first`` to ``last`` into scratch; where ``first`` is in it."""
    start = first >> 2
    for index in range(cuda.threadIdx.x, ((last + 3) >> 2) - start, cuda.blockDim.x):
        scratch[index] = words[start + index]
    cuda.syncthreads()
    return first & 3
