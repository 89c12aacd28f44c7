"""What a record says of the machine and its versions at the start of a run. What is not there is None."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from pathlib import Path

from edgefusion.core.devices import this_module
from edgefusion.core.errors import MachineError
from runtime.engines.machine import NVPMODEL, cuda_driver, power_mode
from runtime.engines.openvino import processor
from runtime.machine.files import cpu_clocks, gpu_clocks, text
from runtime.report import schema

L4T = "etc/nv_tegra_release"
PACKAGES = "var/lib/dpkg/status"
DRIVER = "proc/driver/nvidia/version"
COMPATIBLE = ("proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible")

JETPACKS = {
    "36.2": "6.0 DP",
    "36.3": "6.0",
    "36.4.0": "6.1",
    "36.4.2": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "38.2": "7.0",
    "38.4": "7.1",
}
"""By the beginning of L4T's version (developer.nvidia.com/embedded/jetpack-archive), where no package says it."""


def software(backend_version: str | None = None, root: Path = Path("/")) -> schema.Software:
    """Where this process runs.

    Args:
        backend_version: of what executes: OpenVINO, TensorRT.
        root: where /sys, /proc, /etc and /var are.
    """
    release = l4t(root)
    return schema.Software(
        edgefusion=version("edgefusion"),
        python=platform.python_version(),
        system=f"{_distribution()}, {platform.system()} {platform.release()}",
        processor=processor(),
        module=module(root),
        jetpack=jetpack(release, root),
        l4t=release,
        driver=driver(root),
        cuda=_cuda(),
        backend_version=backend_version,
        power_mode=power_mode(*(root / path.relative_to("/") for path in NVPMODEL)),
        governors=governors(root),
    )


def module(root: Path) -> str | None:
    """The Jetson module's name, also of one that is not supported."""
    for path in COMPATIBLE:
        try:
            found = this_module(root / path)
        except MachineError as error:
            return error.what
        if found:
            return found.description
    return None


def l4t(root: Path) -> str | None:
    """Jetson Linux's version, such as 36.4.3: ``# R36 (release), REVISION: 4.3, GCID: ...``."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text(root / L4T))
    return f"{found[1]}.{found[2]}" if found else None


def jetpack(release: str | None, root: Path) -> str | None:
    """JetPack's version, as its package says; without the package, which is common, as L4T's version implies."""
    found = re.search(r"^Package: nvidia-jetpack\n(?:.+\n)*?Version: ([\d.]+)", text(root / PACKAGES), re.MULTILINE)
    if found:
        return found[1]
    return next((name for beginning, name in JETPACKS.items() if _begins(release, beginning)), None)


def driver(root: Path) -> str | None:
    """The NVIDIA kernel driver's version, such as 540.4.0."""
    found = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", text(root / DRIVER))
    return found[1] if found else None


def governors(root: Path) -> dict[str, str]:
    """What decides the clock of each group of cores and of the GPU."""
    found = {name: text(folder / "scaling_governor") for name, folder in cpu_clocks(root).items()}
    found |= {name: text(folder / "governor") for name, folder in gpu_clocks(root).items()}
    return {name: governor for name, governor in found.items() if governor}


def _begins(release: str | None, beginning: str) -> bool:
    return release is not None and f"{release}.".startswith(f"{beginning}.")


def _cuda() -> str | None:
    try:
        return cuda_driver()
    except OSError:
        return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown distribution"
