"""What an engine's record says of the machine that built it, beside the device's name."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

NVPMODEL = Path("/var/lib/nvpmodel/status"), Path("/etc/nvpmodel.conf")

_MODE = re.compile(r"^\s*<\s*POWER_MODEL\s+ID\s*=\s*(\d+)\s+NAME\s*=\s*(\S+?)\s*>", re.MULTILINE)


def machine_facts() -> dict[str, str | None]:
    """The CUDA driver's version and a Jetson's power mode; None where there is none."""
    try:
        driver = cuda_driver()
    except OSError:
        driver = None
    return {"cuda_driver": driver, "power_mode": power_mode(*NVPMODEL)}


def cuda_driver() -> str | None:
    """The newest CUDA that the driver serves, such as 12.6 (``cuDriverGetVersion``), or None if it does not answer.

    Raises:
        OSError: there is no driver.
    """
    number = ctypes.c_int()
    failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    return None if failed else f"{number.value // 1000}.{number.value % 1000 // 10}"


def power_mode(status: Path, modes: Path) -> str | None:
    """Name of the power mode in use: its number is in ``status`` (``pmode:0002``), the names in ``modes``."""
    try:
        number = re.search(r"pmode:(\d+)", status.read_text())
        names = power_modes(modes.read_text())
    except OSError:
        return None
    return names.get(int(number.group(1))) if number else None


def power_modes(text: str) -> dict[int, str]:
    """Names of the power modes by number, of ``nvpmodel.conf``: ``< POWER_MODEL ID=2 NAME=15W >``.

    Numbers differ between modules and JetPacks.
    """
    return {int(number): name for number, name in _MODE.findall(text)}
