"""``edgefusion build``: a bundle's engine for this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device, find_device
from edgefusion.core.errors import BundleError
from edgefusion.core.geometry import Size
from edgefusion.core.signing import load_signed
from runtime.engines.base import BuildOptions
from runtime.engines.cache import BuiltEngine, build, remember
from runtime.engines.timing import measure
from runtime.tables import layers_table

Asked = Literal["auto", "fp32", "fp16", "int8"]

NARROW = {"fp32": ("f32",), "fp16": ("f16", "bf16"), "int8": ("i8",)}
"""What a backend computes in that takes a precision at its word."""
NARROWEST: tuple[Precision, ...] = ("int8", "fp16", "fp32")


def build_engine(
    bundle_path: Path | None,
    device_name: str,
    *,
    precision: Asked,
    size: Size | None,
    force: bool,
    ungated: bool,
    options: BuildOptions,
    require_signature: Path | None = None,
) -> BuiltEngine:
    """Compile, or find in the cache.

    Raises:
        EdgeFusionError: whatever is wrong with the bundle, the device or the cache.
    """
    bundle, device = load_signed(bundle_path, require_signature, ungated=ungated), find_device(device_name)
    size = size or bundle.manifest.layout.size_px
    if precision == "auto":
        return fastest(bundle, device, size_px=size, options=options, force=force)
    return build(bundle, device, size_px=size, precision=precision, options=options, force=force)


def fastest(
    bundle: Bundle,
    device: Device,
    *,
    size_px: Size,
    options: BuildOptions = BuildOptions(),  # noqa: B008
    force: bool = False,
) -> BuiltEngine:
    """The engine of the precision that is fastest here, of those that may be used.

    Each is built and timed once; the times of all are in the ``timings`` of its ``engine.json``. Where engines cannot
    be executed, as when they are built for another machine, nothing is timed and the narrowest precision is taken that
    the backend really computes in: TensorRT-RTX has no int8 on Turing.

    Raises:
        EdgeFusionError: as ``build``.
    """
    precisions = [name for name in usable(bundle) if options.dla is None or name == "int8"]
    if not precisions:
        raise BundleError("no int8 model that passed its gate, which a DLA needs", where=bundle.place)
    engines: list[BuiltEngine] = []
    for precision in precisions:
        engine = build(bundle, device, size_px=size_px, precision=precision, options=options, force=force)
        if not engine.backend.executes and (engine.compute in NARROW[precision] or precision == precisions[-1]):
            return engine
        engines += [_timed(engine)] if engine.backend.executes else []
    times = {engine.facts["precision"]: engine.facts["timing_ms"] for engine in engines}
    first = min(engines, key=lambda engine: float(engine.facts["timing_ms"]["median"]))
    return first if first.facts.get("timings") == times else remember(first, timings=times)


def usable(bundle: Bundle) -> list[Precision]:
    """The precisions of a bundle that passed their gate, or all of them if it was loaded ungated; narrowest first."""
    gates, known = bundle.manifest.gates, bundle.manifest.precisions
    passed = [name for name in NARROWEST if name == "fp32" or bundle.ungated or (name in gates and gates[name].passed)]
    return [name for name in passed if name in known]


def _timed(engine: BuiltEngine) -> BuiltEngine:
    """The engine with its own time in its record."""
    return engine if "timing_ms" in engine.facts else remember(engine, timing_ms=asdict(measure(engine.load())))


def explain(result: BuiltEngine) -> list[dict[str, Any]]:
    """The engine's layers, with each one's share of the time where engines can be executed."""
    layers: list[dict[str, Any]] = result.facts["layers"]
    if not result.backend.executes:
        return layers
    times = result.load(profiled=True).layer_times_ms()
    total = sum(times.values()) or 1.0
    return [{**layer, "share": round(times.get(layer["name"], 0.0) / total, 4)} for layer in layers]


def to_record(result: BuiltEngine, *, explained: bool) -> dict[str, Any]:
    """The result as facts to print; explained, with each layer's share of the time."""
    layers = {"layers": explain(result)} if explained else {}
    return {"engine": str(result.path), "key": result.key, "built": result.built, **result.facts, **layers}


def describe(record: dict[str, Any], *, explained: bool) -> str:
    """A record of ``to_record``, perhaps of another ``host``, in words; explained, with every layer."""
    width, height = record["size_px"]
    how = f"built in {record['build_s']:.1f} s" if record["built"] else "in the cache already"
    lines = [
        f"{record['precision']} {width}x{height} for {record['device']} "
        f"({record['backend']}, computing in {record['compute']}): {how}"
    ]
    for precision, timing in record.get("timings", {}).items():
        chosen = ", the fastest" if precision == record["precision"] else ""
        spread = f"{timing['low']:.2f} to {timing['high']:.2f}, n {timing['count']}"
        lines.append(f"  {precision}: median {timing['median']:.2f} ms ({spread}){chosen}")
    lines += [f"the builder warns: {warning}" for warning in record["warnings"]]
    lines += [layers_table(record["layers"])] if explained else []
    place = f" on {record['host']}" if "host" in record else ""
    return "\n".join([*lines, f"engine: {record['engine']}{place}"])
