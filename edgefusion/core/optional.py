"""Importing what a base install does not bring."""

from __future__ import annotations

import importlib
from types import ModuleType

from edgefusion.core.errors import MachineError


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MachineError: it is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MachineError(
            f"{module} cannot be imported ({error})", remedy=f"pip install 'edgefusion[{extra}]'"
        ) from error
