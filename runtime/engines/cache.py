"""Engines on disk: built once, checked before every load, never taken from another machine."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.cache import cache_folder, locked, machine_key
from edgefusion.core.devices import Device
from edgefusion.core.dla import FOLDER as DLA
from edgefusion.core.errors import MachineError
from edgefusion.core.geometry import Size, check_engine_size
from runtime.engines import backend_for
from runtime.engines.base import Backend, BuildOptions, Engine, Source
from runtime.engines.machine import machine_facts

SIDECAR, BLOB = "engine.json", "engine.bin"


@dataclass(frozen=True)
class BuiltEngine:
    """Where an engine lies and what it is.

    ``built`` is whether this call compiled it; ``compute`` what the backend calculates in.
    """

    path: Path
    key: str
    built: bool
    facts: dict[str, Any]
    blob: bytes = field(repr=False)
    backend: Backend
    size_px: Size

    @property
    def compute(self) -> str:
        """f32, bf16, f16 or i8."""
        return str(self.facts["compute"])

    def load(self, *, profiled: bool = False) -> Engine:
        """Load the very bytes that ``build`` made or checked; ``profiled`` for the times of single layers."""
        return self.backend.load(self.blob, self.size_px, self.facts["precision"], profiled=profiled)


def build(
    bundle: Bundle,
    device: Device,
    *,
    size_px: Size,
    precision: Precision,
    options: BuildOptions = BuildOptions(),  # noqa: B008  # frozen
    force: bool = False,
) -> BuiltEngine:
    """The engine for a bundle on this machine: from the cache if it is there and ours, else compiled.

    Args:
        bundle: a checked bundle.
        device: the compute target.
        size_px: (width, height) of the tensor's image, multiples of four.
        precision: which of the bundle's models.
        options: of the backend.
        force: compile even if the cache has it.

    Raises:
        UsageError: a size that is not a multiple of four.
        BundleError: no such precision, or a model that the backend refuses.
        MachineError: no backend for the device here, no memory, or the cache cannot be written.
        RunError: the builder fails.
    """
    backend, model = backend_for(device), bundle.model(precision)
    check_engine_size(size_px)
    source = Source(model.read_bytes(), size_px, precision, _dla_files(bundle) if options.dla is not None else {})
    identity = _identity(source, device, backend, options)
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache_folder() / "engines"
    with locked(folder / key):
        stored = None if force else _stored(folder / key, identity)
        facts, blob = stored or _compile(folder / key, identity, backend, source, options)
    return BuiltEngine(folder / key, key, stored is None, facts, blob, backend, size_px)


def remember(built: BuiltEngine, **facts: Any) -> BuiltEngine:
    """The engine with more facts in its ``engine.json``, sealed again."""
    known = {**built.facts, **facts}
    with locked(built.path):
        _store(built.path, known, built.blob)
    return replace(built, facts=known)


def _compile(
    path: Path, identity: dict[str, Any], backend: Backend, source: Source, options: BuildOptions
) -> tuple[dict[str, Any], bytes]:
    start = time.perf_counter()
    compiled = backend.compile(source, options)
    facts = {
        **identity,
        "compute": compiled.compute,
        "build_s": round(time.perf_counter() - start, 3),
        "layers": [asdict(layer) for layer in compiled.layers],
        "warnings": list(compiled.warnings),
        **compiled.remarks,
        **machine_facts(),
    }
    facts = json.loads(json.dumps(facts))  # as it will be read
    _store(path, facts, compiled.blob)
    return facts, compiled.blob


def _dla_files(bundle: Bundle) -> dict[str, bytes]:
    names = [name for name in bundle.manifest.files if name.startswith(DLA)]
    return {name: (bundle.path / name).read_bytes() for name in names}


def _identity(source: Source, device: Device, backend: Backend, options: BuildOptions) -> dict[str, Any]:
    digest = hashlib.sha256(source.onnx)
    for name in sorted(source.dla):
        digest.update(source.dla[name])
    return {
        "onnx_sha256": digest.hexdigest(),
        "size_px": list(source.size_px),
        "backend": backend.name,
        "target": backend.target(source.precision, options),
        "device": device.name,
        "sm": device.sm,
        "precision": source.precision,
    }


def _stored(path: Path, identity: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
    """A stored engine if every byte is what this machine wrote for this very identity, else None."""
    try:
        sidecar = json.loads((path / SIDECAR).read_text())
        blob = (path / BLOB).read_bytes()
        facts, seal = sidecar["facts"], sidecar["hmac"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = all(facts.get(name) == value for name, value in identity.items())
    return (facts, blob) if same and hmac.compare_digest(str(seal), _seal(facts, blob)) else None


def _seal(facts: dict[str, Any], blob: bytes) -> str:
    message = json.dumps(facts, sort_keys=True).encode() + hashlib.sha256(blob).digest()
    return hmac.new(machine_key(cache_folder()), message, hashlib.sha256).hexdigest()


def _store(path: Path, facts: dict[str, Any], blob: bytes) -> None:
    part = None
    try:
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        (part / BLOB).write_bytes(blob)
        sidecar = {"facts": facts, "hmac": _seal(facts, blob)}
        (part / SIDECAR).write_text(json.dumps(sidecar, indent=2) + "\n")
        shutil.rmtree(path, ignore_errors=True)
        os.replace(part, path)
    except OSError as error:
        if part:
            shutil.rmtree(part, ignore_errors=True)
        raise MachineError(
            f"cannot store the engine ({error.strerror})", where=path, remedy="free some space"
        ) from error
