"""A libnvidia-ml.so of one GPU, compiled where a test wants it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#include <stdint.h>
#include <string.h>
static int began;
int nvmlInit_v2(void) { began++; return %(init)d; }
int nvmlShutdown(void) { began--; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (!began || index) return 2;
    *device = (void *)(uintptr_t)0x123456789abcULL; /* wider than 32 bits, as the real ones are */
    return %(handle)d;
}
int nvmlDeviceGetName(void *device, char *name, unsigned length) {
    if (!began || device != (void *)(uintptr_t)0x123456789abcULL) return 2;
    if (length < sizeof "%(name)s") return 7;
    strcpy(name, "%(name)s");
    return %(answer)d;
}
static unsigned asked;
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    if (!began || device != (void *)(uintptr_t)0x123456789abcULL) return 2;
    *mj = 5000000000ULL + %(joule)d * 1000ULL * asked++; /* more than 32 bits, as after some weeks */
    return %(energy)d;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) {
    if (!began || device != (void *)(uintptr_t)0x123456789abcULL) return 2;
    *mw = 81250;
    return %(power)d;
}
"""


def fake_nvml(
    folder: Path,
    name: str,
    *,
    init: int = 0,
    handle: int = 0,
    answer: int = 0,
    energy: int = 3,
    power: int = 3,
    joule: int = 0,
) -> Path:
    """Compile it; the numbers are what each function returns (3: NVML_ERROR_NOT_SUPPORTED).

    ``joule`` is what the GPU uses between two questions for its energy.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build a stand-in for libnvidia-ml.so")
    source, library = folder / "nvml.c", folder / f"libnvidia-ml-{init}{handle}{answer}{energy}{power}.so"
    numbers = {"init": init, "handle": handle, "answer": answer, "energy": energy, "power": power, "joule": joule}
    source.write_text(SOURCE % {"name": name, **numbers})
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library
