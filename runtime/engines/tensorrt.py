"""The ``tensorrt`` and ``tensorrt_rtx`` backends: one builder. What differs between versions is in ``trt_api``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefusion.core.bundle import Precision
from edgefusion.core.cache import cache_folder
from edgefusion.core.devices import Device
from edgefusion.core.dla import CACHE, LAYERS, MODEL, DlaLayers
from edgefusion.core.errors import BundleError, MachineError, RunError
from edgefusion.core.files import atomic_write
from edgefusion.core.geometry import Size
from runtime.engines import trt_layers
from runtime.engines.base import BuildOptions, BuiltLayer, Compiled, Engine, Source
from runtime.engines.trt_api import TRUSTED_STRONG, Api, has_driver, load_tensorrt, load_tensorrt_rtx

if TYPE_CHECKING:
    from runtime.engines.trt_engine import Plan

MEMINFO = Path("/proc/meminfo")
WORKSPACE_SHARE = 0.5
"""Of the memory that is free: the builder is not the only one who needs some."""
NARROW = {"fp32": "f32", "fp16": "f16", "int8": "i8"}
NO_MEMORY = ("out of memory", "outofmemory", "could not find any implementation", "insufficient memory")
"""What TensorRT says when memory was short; the third can also mean an operator it really lacks."""


class TensorRtBackend:
    """Builds on the machine that runs the engine: JetPack's TensorRT, or a workstation's.

    Raises:
        MachineError: no TensorRT here, one that is too old, or no driver.
    """

    name = "tensorrt"
    executes = True

    def __init__(self, device: Device) -> None:
        self._device = device
        self._api = load_tensorrt()

    def target(self, precision: Precision, options: BuildOptions) -> dict[str, Any]:
        """TensorRT's exact version, and what the engine is built for."""
        return {
            "version": self._api.full_version,
            "dla": options.dla,
            "fit_every_gpu": options.fit_every_gpu,
            "workspace_mb": options.workspace_mb,
        }

    def compile(self, source: Source, options: BuildOptions) -> Compiled:
        """Build an engine. INT8 on a TensorRT before 10.12 is looked at, and built weakly typed if need be.

        Raises:
            BundleError: the parser refuses the model.
            MachineError: memory was short, or something this version lacks.
            RunError: the builder fails.
        """
        first = self._build(source, options, strongly_typed=not self._needs_cache(options))
        if source.precision == "int8" and self._api.version < TRUSTED_STRONG and first.compute != "i8":
            return self._build(source, options, strongly_typed=False)
        return first

    def load(self, blob: bytes, size_px: Size, precision: Precision, *, profiled: bool = False) -> Engine:
        """See ``Backend.load``.

        Raises:
            MachineError: pycuda is missing, or no GPU.
            RunError: TensorRT does not take the bytes.
        """
        from runtime.engines.trt_engine import TensorRtEngine

        return TensorRtEngine(self.plan(blob), size_px, profiled=profiled)

    def plan(self, blob: bytes) -> Plan:
        """The weights alone, for engines on a stream of the caller's; ``blob`` and what it raises as for ``load``."""
        from runtime.engines.trt_engine import load_plan

        return load_plan(self._api, blob)

    def _needs_cache(self, options: BuildOptions) -> bool:
        """Whether layers go to a DLA that takes its scales from a calibration cache."""
        return options.dla is not None and self._api.version < (11,)

    def _build(self, source: Source, options: BuildOptions, *, strongly_typed: bool) -> Compiled:
        trt, log = self._api.module, collecting_logger(self._api.module)
        builder = trt.Builder(log)
        network = self._api.create_network(builder, strongly_typed=strongly_typed)
        content = source.dla[MODEL] if self._needs_cache(options) else source.onnx
        self._parse(network, content, source.size_px, log)
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        remarks = self._configure(config, network, source, options, strongly_typed=strongly_typed)
        blob = self._serialized(builder, network, config, options)
        if blob is None:
            raise self._failure(log.errors, remarks)
        layers = self._layers(blob, log)
        compute = trt_layers.compute_of(layers, NARROW[source.precision])
        return Compiled(blob, compute, layers, tuple(dict.fromkeys(log.warnings)), remarks)

    def _serialized(self, builder: Any, network: Any, config: Any, options: BuildOptions) -> bytes | None:
        timings = TimingCache(self._api, self._device, options.timing_cache)
        timings.put_into(config)
        plan = builder.build_serialized_network(network, config)
        if plan is not None:
            timings.keep(config)
        return None if plan is None else bytes(plan)

    def _parse(self, network: Any, content: bytes, size_px: Size, log: Any) -> None:
        parser = self._api.module.OnnxParser(network, log)
        if not parser.parse(content):
            reasons = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
            raise BundleError(f"{self._api.name} cannot parse the model ({reasons or 'no reason given'})")
        network.get_input(0).shape = (1, 32, size_px[1] // 4, size_px[0] // 4)

    def _configure(
        self, config: Any, network: Any, source: Source, options: BuildOptions, *, strongly_typed: bool
    ) -> dict[str, Any]:
        """Set everything; returns what is worth knowing of it."""
        workspace = self._workspace(options)
        if workspace is not None:
            config.set_memory_pool_limit(self._api.module.MemoryPoolType.WORKSPACE, workspace)
        if options.fit_every_gpu:
            if self._device.family in ("orin", "thor"):
                raise MachineError(
                    "--fit-every-gpu is for desktop GPUs", remedy=f"leave it out for {self._device.name}"
                )
            self._api.fit_every_gpu(config)
        if options.dla is not None:
            if not source.dla:
                raise BundleError("the bundle has no dla/", remedy="edgefusion quantize --precision int8 --dla")
            self._api.use_dla(config, options.dla, source.dla[CACHE])
            if self._needs_cache(options):
                set_precisions(self._api.module, network, DlaLayers.model_validate_json(source.dla[LAYERS]))
        elif not strongly_typed:
            self._api.allow_precisions(config, "FP16", "INT8")
        return {"workspace_mb": workspace and workspace >> 20, "strongly_typed": strongly_typed}

    def _workspace(self, options: BuildOptions) -> int | None:
        """Memory that tactics may use: what was asked for, else half of what is free; never more than is free."""
        free = free_bytes()
        return min(options.workspace_mb << 20, free) if options.workspace_mb else int(free * WORKSPACE_SHARE)

    def _layers(self, blob: bytes, log: Any) -> tuple[BuiltLayer, ...]:
        """From the engine itself: the machine that built it can load it."""
        engine = self._api.module.Runtime(log).deserialize_cuda_engine(blob)
        if engine is None:
            raise RunError(f"TensorRT cannot load the engine it built ({first_of(log.errors)})")
        inspector = engine.create_engine_inspector()
        return trt_layers.from_inspector(inspector.get_engine_information(self._api.module.LayerInformationFormat.JSON))

    def _failure(self, errors: list[str], remarks: dict[str, Any]) -> MachineError | RunError:
        said = first_of(errors)
        if any(word in said.lower() for word in NO_MEMORY):
            return MachineError(
                f"the build ran out of memory, with {remarks['workspace_mb'] or 'unlimited'} MB for tactics and "
                f"{free_bytes() >> 20} MB free now ({said})",
                remedy="close other programs, add swap, or give a smaller --workspace",
            )
        return RunError(f"{self._api.name} cannot build the engine ({said})", remedy="run again with --debug")


class TensorRtRtxBackend(TensorRtBackend):
    """Builds for a desktop RTX GPU by its compute capability, ahead of time, on any machine.

    Raises:
        MachineError: TensorRT-RTX is not installed.
    """

    name = "tensorrt_rtx"

    def __init__(self, device: Device) -> None:
        self._device = device
        self._api = load_tensorrt_rtx()
        self.executes = has_driver()

    def compile(self, source: Source, options: BuildOptions) -> Compiled:
        """Build an engine.

        Raises:
            MachineError: an option for other devices, or a GPU that TensorRT-RTX does not build for.
            BundleError: the parser refuses the model.
            RunError: the builder fails.
        """
        given = {"--dla": options.dla is not None, "--fit-every-gpu": options.fit_every_gpu}
        given["--timing-cache"] = options.timing_cache is not None
        if wrong := [name for name, there in given.items() if there]:
            raise MachineError(f"{wrong[0]} is not for TensorRT-RTX", remedy=f"leave it out for {self._device.name}")
        return self._build(source, options, strongly_typed=True)

    def _configure(
        self, config: Any, network: Any, source: Source, options: BuildOptions, *, strongly_typed: bool
    ) -> dict[str, Any]:
        self._api.target(config, self._device.sm)
        return super()._configure(config, network, source, options, strongly_typed=strongly_typed)

    def _workspace(self, options: BuildOptions) -> int | None:
        """What is free here says nothing of the machine that will run it."""
        return options.workspace_mb << 20 if options.workspace_mb else None

    def _serialized(self, builder: Any, network: Any, config: Any, options: BuildOptions) -> bytes | None:
        """Nothing is timed ahead of time, so there is nothing to remember."""
        plan = builder.build_serialized_network(network, config)
        return None if plan is None else bytes(plan)

    def _layers(self, blob: bytes, log: Any) -> tuple[BuiltLayer, ...]:
        """From the builder's log: without a GPU nothing can load the engine."""
        return trt_layers.from_log(log.details)


class TimingCache:
    """How fast tactics were on this device with this version, so that the next build need not try them again.

    Args:
        api: whose.
        device: of which GPU.
        path: another place than this machine's cache.
    """

    def __init__(self, api: Api, device: Device, path: Path | None = None) -> None:
        name = f"{api.name.lower()}-{api.full_version}-{device.name}.cache"
        self._path = path or cache_folder() / "timings" / name

    def put_into(self, config: Any) -> None:
        """Begin with what is known; a cache that TensorRT does not take is left aside."""
        known = self._path.read_bytes() if self._path.is_file() else b""
        cache = config.create_timing_cache(known) or config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)

    def keep(self, config: Any) -> None:
        """Store what is known now."""
        found = config.get_timing_cache()
        if found is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path) as stream:
            stream.write(bytes(found.serialize()))


def collecting_logger(module: Any) -> Any:
    """A logger that keeps what the builder says: ``errors``, ``warnings`` and ``details``."""

    class Collecting(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []
            self.details: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            kind = module.ILogger.Severity
            heap = {kind.WARNING: self.warnings, kind.ERROR: self.errors, kind.INTERNAL_ERROR: self.errors}
            heap.get(severity, self.details).append(message.strip())

    return Collecting()


def set_precisions(module: Any, network: Any, layers: DlaLayers) -> None:
    """Give each layer of a weakly typed network the precision that ``dla/layers.json`` names for its node."""
    wanted = {layer.node: layer.precision for layer in layers.layers}
    kinds = {"int8": module.DataType.INT8, "fp16": module.DataType.HALF}
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        if layer.name in wanted:
            layer.precision = kinds[wanted[layer.name]]


def free_bytes() -> int:
    """Memory that is available now; on a Jetson the GPU's is the same."""
    lines = MEMINFO.read_text().splitlines()
    available = next(line for line in lines if line.startswith("MemAvailable:"))
    return int(available.split()[1]) << 10


def first_of(messages: list[str]) -> str:
    """The first thing that was said, on one line."""
    return " ".join(messages[0].split())[:300] if messages else "no reason given"
