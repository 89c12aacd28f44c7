"""Importing what a base install does not bring."""

from __future__ import annotations

import importlib
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
