"""TensorRT from 10.3 to 11 and TensorRT-RTX: every call that differs between versions, and only those.

What exists where, read from the string tables of NVIDIA's binding wheels of each version (``tests/runtime/engines/
surfaces.json``) and the API reference of each release (docs.nvidia.com/deeplearning/tensorrt):

================================================  =====  ======  ======  =====  ========
call                                              10.3   10.13   10.16   11.4   RTX 1.x
================================================  =====  ======  ======  =====  ========
NetworkDefinitionCreationFlag.STRONGLY_TYPED      yes    yes     yes     1)     yes
BuilderFlag.FP16, INT8; layer precisions          yes    yes     yes     no     no
IInt8EntropyCalibrator2, int8_calibrator          yes    2)      2)      no     no
DLA                                               3)     no      no      4)     no
timing cache                                      yes    yes     yes     yes    6)
hardware_compatibility_level                      yes    yes     yes     yes    no 5)
set_compute_capability                            no     no      no      no     yes
create_engine_inspector, execute_async_v3         yes    yes     yes     yes    yes
device_memory_size_v2                             yes    yes     yes     yes    yes
================================================  =====  ======  ======  =====  ========

1) always on: the flag is taken and does nothing. 2) deprecated. 3) up to 10.7. 4) strongly typed, AGX Orin alone.
5) the property is there; what an engine runs on is said by its compute capability. 6) the calls are there; nothing is
timed ahead of time, and a stored cache is not taken back.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from edgefusion.core.dla import read_cache, write_cache
from edgefusion.core.errors import MachineError
from edgefusion.core.optional import require

Version = tuple[int, ...]

OLDEST: Version = (10, 3)
LAST_WEAK: Version = (11,)
"""Precision flags, layer precisions and calibrators are gone from here on."""
LAST_DLA: Version = (10, 8)
"""DLA is gone from here on, until ``STRONG_DLA``."""
STRONG_DLA: Version = (11, 4)
TRUSTED_STRONG: Version = (10, 12)
"""Strong typing is fully there from this release; before, the layers must be looked at."""


@dataclass(frozen=True)
class Api:
    """One TensorRT that is installed here.

    Attributes:
        module: ``tensorrt`` or ``tensorrt_rtx``.
        name: what to call it in words.
        version: of the library.
    """

    module: ModuleType
    name: str
    version: Version

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT-RTX, which builds for a compute capability and not for the GPU that is here."""
        return self.name == "TensorRT-RTX"

    @property
    def full_version(self) -> str:
        """As the library says it, such as 10.3.0."""
        return str(self.module.__version__)

    def need(self, what: str, *, since: Version = (0,), before: Version = (99,)) -> None:
        """Raises MachineError if this version is not in ``since`` <= version < ``before``."""
        if self.version < since:
            raise MachineError(f"{what} needs {self.name} >= {_text(since)}; this is {self.full_version}")
        if self.version >= before:
            raise MachineError(f"{what} needs {self.name} < {_text(before)}; this is {self.full_version}")

    def create_network(self, builder: Any, *, strongly_typed: bool = True) -> Any:
        """An empty network. Weak typing, for precision flags, ended with 10.x."""
        if not strongly_typed:
            self.need("a weakly typed network", before=LAST_WEAK)
            return builder.create_network(0)
        return builder.create_network(1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))

    def allow_precisions(self, config: Any, *names: str) -> None:
        """Let a weakly typed network compute in FP16, INT8."""
        self.need("a precision flag", before=LAST_WEAK)
        for name in names:
            config.set_flag(getattr(self.module.BuilderFlag, name))

    def target(self, config: Any, sm: str) -> None:
        """RTX: build for a compute capability such as 8.9, whatever is here.

        Raises:
            MachineError: this TensorRT-RTX does not build for it.
        """
        self.need("building for another machine's GPU", since=(1, 0))
        known = self.module.ComputeCapability
        capability = getattr(known, f"SM{sm.replace('.', '')}", None)
        if capability is None:
            names = ", ".join(name for name in dir(known) if name.startswith("SM"))
            raise MachineError(f"{self.name} {self.full_version} does not build for SM {sm}", remedy=f"it does {names}")
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)

    def fit_every_gpu(self, config: Any) -> None:
        """One engine for all desktop GPUs from Ampere on; slower, and not on JetPack."""
        self.need("hardware compatibility", since=OLDEST)
        config.hardware_compatibility_level = self.module.HardwareCompatibilityLevel.AMPERE_PLUS

    def use_dla(self, config: Any, core: int, cache: bytes) -> None:
        """Put layers on a DLA core, the rest on the GPU; INT8 scales come from a calibration cache.

        Raises:
            MachineError: this version has no DLA.
        """
        if self.version < STRONG_DLA:
            self.need("DLA", before=LAST_DLA)
            self.allow_precisions(config, "FP16", "INT8")
            config.int8_calibrator = calibrator(self.module, self._own(cache))
            config.set_flag(self.module.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
        config.default_device_type = self.module.DeviceType.DLA
        config.DLA_core = core
        config.set_flag(self.module.BuilderFlag.GPU_FALLBACK)

    def _own(self, cache: bytes) -> bytes:
        """The calibration cache as this version would have written it: it passes over one of another's."""
        major, minor, patch = (*self.version, 0, 0)[:3]
        return write_cache(read_cache(cache), (major, minor, patch))


def calibrator(module: ModuleType, cache: bytes) -> Any:
    """A calibrator that has nothing but a cache: TensorRT asks for batches only where that lacks a tensor."""

    class Cached(module.IInt8EntropyCalibrator2):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            module.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, content: bytes) -> None:
            return None

    return Cached()


def load_tensorrt() -> Api:
    """TensorRT of this machine.

    Raises:
        MachineError: not installed, not importable, too old, or no NVIDIA driver: its objects end the process then.
    """
    module = require("tensorrt", "", remedy=TENSORRT_REMEDY)
    api = Api(module, "TensorRT", _version(module))
    if api.version < OLDEST:
        raise MachineError(f"TensorRT {api.full_version} is too old", remedy="update to JetPack 6.1 (TensorRT 10.3)")
    need_driver()
    return api


TENSORRT_REMEDY = "on a Jetson it comes with JetPack: use a venv made with --system-site-packages (docs/jetson.md)"


def load_tensorrt_rtx() -> Api:
    """TensorRT-RTX of this machine; building needs no GPU.

    Raises:
        MachineError: not installed.
    """
    module = require("tensorrt_rtx", "rtx")
    return Api(module, "TensorRT-RTX", _version(module))


def has_driver() -> bool:
    """Whether a CUDA driver is here and answers."""
    try:
        return int(ctypes.CDLL("libcuda.so.1").cuInit(0)) == 0
    except OSError:
        return False


def need_driver() -> None:
    """Raises MachineError if there is no CUDA driver, or it does not answer."""
    if not has_driver():
        raise MachineError("no NVIDIA driver answers (libcuda.so.1)", remedy="run it on the device itself")


def _version(module: ModuleType) -> Version:
    numbers = str(module.__version__).split(".")
    return tuple(int(number) for number in numbers[:3] if number.isdigit())


def _text(version: Version) -> str:
    return ".".join(map(str, version))
