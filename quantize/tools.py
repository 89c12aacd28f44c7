"""nvidia-modelopt, which says more than one line of ours needs."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import ModuleType

from edgefusion.core.optional import require


@contextmanager
def modelopt(part: str) -> Iterator[ModuleType]:
    """A part of modelopt, such as ``onnx.quantization``, quiet inside the block.

    Raises:
        MachineError: it is not installed.
    """
    silence = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
        warnings.simplefilter("ignore")  # of what it looks for and we do not use: transformers, CUDA
        before = logging.root.manager.disable
        logging.disable(logging.ERROR)  # it counts GPUs, and reports as an error that there is none
        try:
            require("modelopt", "quantize")
            yield importlib.import_module(f"modelopt.{part}")
        finally:
            logging.disable(before)
