"""Compile the kernels of ``kernels.cuda`` without a GPU: PTX by NVVM, cubin by nvJitLink.

    python gpu_compiled.py CAPABILITY OUT      e.g. 8.7 out/

Leaves with 77 where a library of NVIDIA's is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cuda.pathfinder import DynamicLibNotFoundError
from numba import cuda
from numba.core.types import float16, float32, int32, uint8, uint16, uint32
from numba.cuda import dispatcher
from numba.cuda.cudadrv.error import NvvmSupportError

from edgefusion.kernels import cuda_pack, cuda_unpack

WORDS, READINGS, HISTOGRAM, RGB = uint32[::1], uint16[::1], uint32[::1], uint8[::1]


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """(name, kernel, types of its arguments), as ``kernels.cuda`` calls it."""
    yield "stage", cuda_pack.stage, (WORDS, int32, READINGS, HISTOGRAM, int32)
    yield "take", cuda_pack.take, (HISTOGRAM, HISTOGRAM)
    table = READINGS, int32, uint32[:, ::1], uint16[:, ::1]
    for bits, kind in ((16, float16), (32, float32)):
        tensor = kind[:, :, ::1]
        yield f"pack{bits}", cuda_pack.pack, (int32, WORDS, *[int32] * 3, *table, float32, float32, tensor)
        yield f"unpack{bits}", cuda_unpack.unpack, (tensor, WORDS, *[int32] * 3, RGB)


def cubin(ptx: str, capability: tuple[int, int]) -> bytes:
    """What the GPU executes."""
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(arch=f"sm_{capability[0]}{capability[1]}")
    return bytes(Program(ptx, "ptx", options=options).compile("cubin").code)


def main(version: str, folder: Path) -> None:
    major, minor = map(int, version.split("."))
    # without a driver: what a kernel's device functions are compiled for
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(major, minor))
    for name, kernel, types in kernels():
        ptx, _ = cuda.compile_ptx(kernel.py_func, types, cc=(major, minor))
        (folder / f"{name}.ptx").write_text(ptx)
        (folder / f"{name}.cubin").write_bytes(cubin(ptx, (major, minor)))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except (NvvmSupportError, DynamicLibNotFoundError) as error:
        print(f"{error}: pip install nvidia-nvvm nvidia-cuda-nvrtc nvidia-nvjitlink", file=sys.stderr)
        sys.exit(77)
