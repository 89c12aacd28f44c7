"""How functions are compiled for the CPU."""

from __future__ import annotations

from typing import Any

from numba import njit

compiled = njit(cache=True, error_model="numpy")
threaded = njit(cache=True, parallel=True, error_model="numpy")


def pixel(function: Any) -> Any:
    """A function of ``kernels.pixels``, copied into each loop that calls it."""
    return njit(function, inline="always")
