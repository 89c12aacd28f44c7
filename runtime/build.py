"""``edgefusion build``: a bundle's engine for this machine."""

from __future__ import annotations

import json
from pathlib import Path

from edgefusion.core.bundle import Precision
from edgefusion.core.devices import find_device
from edgefusion.core.geometry import Size
from edgefusion.core.signing import load_signed
from runtime.engines.cache import BuiltEngine, build


def build_engine(
    bundle_path: Path | None,
    device_name: str,
    *,
    precision: Precision,
    size: Size | None,
    force: bool,
    ungated: bool,
    require_signature: Path | None = None,
) -> BuiltEngine:
    """Compile, or find in the cache.

    Raises:
        EdgeFusionError: whatever is wrong with the bundle, the device or the cache.
    """
    bundle, device = load_signed(bundle_path, require_signature, ungated=ungated), find_device(device_name)
    size = size or bundle.manifest.layout.size_px
    return build(bundle, device, size_px=size, precision=precision, force=force)


def to_json(result: BuiltEngine) -> str:
    """The result as indented JSON."""
    return json.dumps({"engine": str(result.path), "key": result.key, "built": result.built, **result.facts}, indent=2)


def describe(result: BuiltEngine) -> str:
    """The result in words."""
    facts = result.facts
    how = f"built in {facts['build_s']:.1f} s" if result.built else "in the cache already"
    return (
        f"{facts['precision']} {result.size_px[0]}x{result.size_px[1]} for {facts['device']} "
        f"({facts['backend']}, computing in {result.compute}): {how}\nengine: {result.path}"
    )
