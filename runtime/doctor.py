"""What this machine has: each thing found or missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgefusion.core import nvml
from edgefusion.core.bundle import load_bundle
from edgefusion.core.cache import cache_folder
from edgefusion.core.devices import find_device, this_gpu
from edgefusion.core.errors import EdgeFusionError
from runtime.engines.machine import cuda_driver
from runtime.engines.openvino import processor, processor_flags
from runtime.power.jtop import SOCKET
from runtime.power.meters import search

SPEED_FLAGS = ("avx2", "avx512f", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm")
OLDEST, NEWEST = (3, 10), (3, 12)


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report. ``needed`` is whether edgefusion cannot run without it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = False


def examine() -> list[Finding]:
    """Look at everything, in the order of the report."""
    return [check() for check in CHECKS]


def _python() -> Finding:
    ok = OLDEST <= sys.version_info[:2] <= NEWEST
    remedy = "" if ok else "edgefusion is tested on Python 3.10 to 3.12"
    return Finding("Python", ok, platform.python_version(), remedy, needed=True)


def _processor() -> Finding:
    flags = [flag for flag in SPEED_FLAGS if flag in processor_flags()]
    return Finding("CPU", True, f"{processor()} ({' '.join(flags) or 'no vector extension known to help'})")


def _device() -> Finding:
    try:
        device = find_device("auto")
    except EdgeFusionError as error:
        return Finding("device", False, str(error), "use another machine")
    return Finding("device", True, f"{device.name}: {device.description}")


def _openvino() -> Finding:
    import openvino as ov

    can = ", ".join(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return Finding("OpenVINO", True, f"{ov.get_version().split('-')[0]} ({can})", needed=True)


def _bundle() -> Finding:
    try:
        bundle = load_bundle()
    except EdgeFusionError as error:
        return Finding("bundle", False, str(error), "install edgefusion again", needed=True)
    return Finding("bundle", True, f"{bundle.manifest.name}: {', '.join(bundle.manifest.precisions)}", needed=True)


def _cache() -> Finding:
    try:
        return Finding("cache", True, str(cache_folder()), needed=True)
    except EdgeFusionError as error:
        return Finding("cache", False, str(error), "set EDGEFUSION_CACHE", needed=True)


def _cuda_driver() -> Finding:
    try:
        newest = cuda_driver()
    except OSError:
        return Finding("CUDA driver", False, "no libcuda.so.1", "only NVIDIA devices need it; JetPack brings it")
    if newest is None:
        return Finding("CUDA driver", False, "it does not answer", "check nvidia-smi or dmesg")
    return Finding("CUDA driver", True, f"CUDA {newest}")


def _gpu() -> Finding:
    name = nvml.gpu_name()
    if name is None:
        return Finding(
            "NVIDIA GPU", False, "none that NVML names", "a Jetson needs none; a desktop GPU needs its driver"
        )
    device = this_gpu()
    if device is None:
        remedy = "name the device it comes closest to (edgefusion devices); a laptop part is not the desktop one"
        return Finding("NVIDIA GPU", False, f"{name}, which has no row in devices.toml", remedy)
    facts = f"SM {device.sm}, {device.memory_gb} GB, {device.backend}"
    return Finding("NVIDIA GPU", True, f"{name}: {device.name} ({facts})")


def _tensorrt() -> Finding:
    remedy = "on a Jetson: JetPack's packages, and a venv with --system-site-packages"
    if importlib.util.find_spec("tensorrt") is None:
        return Finding("TensorRT", False, "not installed", remedy)
    try:
        import tensorrt
    except ImportError as error:
        if "libnvdla_compiler" in str(error):
            remedy = "JetPack 6: apt install nvidia-l4t-dla-compiler"
        return Finding("TensorRT", False, f"cannot be imported ({error})", remedy)
    return Finding("TensorRT", True, str(tensorrt.__version__))


def _tensorrt_rtx() -> Finding:
    return _package("TensorRT-RTX", "tensorrt-rtx", "pip install 'edgefusion[rtx]' to build for desktop RTX GPUs")


def _pycuda() -> Finding:
    remedy = "pip install 'edgefusion[cuda12]' on JetPack 6, '[cuda13]' on 7; it is compiled: docs/jetson.md"
    return _package("pycuda", "pycuda", remedy)


def _cameras() -> Finding:
    found = sorted(path.name for path in Path("/sys/class/video4linux").glob("video*"))
    names = [f"/dev/{name} ({_read(Path('/sys/class/video4linux') / name / 'name')})" for name in found]
    if names:
        return Finding("cameras", True, ", ".join(names))
    return Finding("cameras", False, "no /dev/video*", "plug in a V4L2 camera, or fuse recordings")


def _power_meters() -> Finding:
    found = search()
    names = [f"{meter.name} ({meter.layout.scope}: {', '.join(meter.rails())})" for meter in found.meters]
    for meter in found.meters:
        meter.close()
    if names:
        return Finding("power meters", True, ", ".join(names))
    why = "; ".join(f"{name}: {reason}" for name, reason in found.missing.items())
    return Finding("power meters", False, why, "runs are reported with power 'not measured' (docs/power.md)")


def _jtop() -> Finding:
    socket = Path("/") / SOCKET
    if socket.exists():
        return Finding("jtop", True, str(socket))
    return Finding("jtop", False, "no service", "on a Jetson: pip install 'edgefusion[jetson]'; optional")


def _package(name: str, package: str, remedy: str) -> Finding:
    try:
        return Finding(name, True, version(package))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", remedy)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return "unreadable"


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _processor,
    _device,
    _openvino,
    _bundle,
    _cache,
    _cuda_driver,
    _gpu,
    _tensorrt,
    _tensorrt_rtx,
    _pycuda,
    _cameras,
    _power_meters,
    _jtop,
)
"""One function per line of the report."""
