"""Importing what a base install does not bring."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import ModuleType

from edgefusion.core.errors import MachineError


def require(module: str, extra: str, *, remedy: str = "") -> ModuleType:
    """Import an optional module.

    Args:
        module: its name.
        extra: what brings it.
        remedy: what to do instead of installing the extra.

    Raises:
        MachineError: it is not installed; names the extra that brings it, or the remedy.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MachineError(
            f"{module} cannot be imported ({error})", remedy=remedy or f"pip install 'edgefusion[{extra}]'"
        ) from error


@contextmanager
def modelopt(part: str) -> Iterator[ModuleType]:
    """A part of nvidia-modelopt, such as ``onnx.quantization``, quiet inside the block: it says more than is needed.

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
