"""The kernel's files: one value each."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST = 4096
GPU_NAMES = ("gpu", "ga10b", "gv11b")
"""Parts of the names of a GPU's devfreq node: ``17000000.gpu`` or ``17000000.ga10b`` on Orin, ``gpu-gpc-0`` on Thor."""


def text(path: Path) -> str:
    """A file's text, or nothing if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def cpu_clocks(root: Path) -> dict[str, Path]:
    """Folders of the clocks of each group of cores, by name: ``cpu0``."""
    policies = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*"))
    return {f"cpu{path.name.removeprefix('policy')}": path for path in policies}


def gpu_clocks(root: Path) -> dict[str, Path]:
    """Folders of the GPU's clocks by name: ``gpu`` where there is one."""
    folders = sorted(root.glob("sys/class/devfreq/*"))
    found = [folder for folder in folders if any(name in folder.name for name in GPU_NAMES)]
    return {"gpu": found[0]} if len(found) == 1 else {folder.name: folder for folder in found}


class Value:
    """A file of one number that stays open: to read it again asks the kernel again."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if it cannot be opened."""
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> str | None:
        """What it holds now, or None if it cannot be read: a core that is off, a sensor that sleeps."""
        try:
            return os.pread(self._file, LONGEST, 0).decode(errors="replace")
        except OSError:
            return None

    def number(self) -> float | None:
        """The number it holds now, or None."""
        content = (self.read() or "").strip()
        return float(content) if content.lstrip("-").isdecimal() else None

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)
