"""Running out of memory, said in the user's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgefusion.core.errors import MachineError

_SAID = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
"""In what PyTorch, its libraries and safetensors say in a plain RuntimeError: only CUDA has an error of its own."""


@contextmanager
def out_of_memory(remedy: str) -> Iterator[None]:
    """Tells a GPU or a processor that ran out of memory from other failures; also a decorator.

    Args:
        remedy: what to lower.

    Raises:
        MachineError: out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        raise MachineError("out of memory", remedy=remedy) from error


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in _SAID)
