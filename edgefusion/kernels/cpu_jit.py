"""How functions are compiled for the CPU."""

from __future__ import annotations

from typing import Any

from numba import njit

compiled = njit(cache=True, error_model="numpy")
freed = njit(cache=True, nogil=True, error_model="numpy")
"""For what runs beside the loop: it does not hold up other threads."""

threaded = njit(cache=True, parallel=True, error_model="numpy")


def pixel(function: Any) -> Any:
    """A function of ``kernels.pixels``, copied into each loop that calls it."""
    return njit(function, inline="always")
