"""Which engines of a bundle this machine's cache holds. None is loaded or checked: that happens before it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgefusion.core.bundle import Bundle
from edgefusion.core.cache import cache_folder
from runtime.engines.cache import BLOB, SIDECAR


@dataclass(frozen=True)
class ListedEngine:
    """An engine as its sidecar describes it.

    Attributes:
        path: its folder.
        bytes: of the engine itself.
        built: when, UTC.
        facts: ``device``, ``precision``, ``size_px``, ``compute``, ``backend`` and others.
    """

    path: Path
    bytes: int
    built: str
    facts: dict[str, Any]


def engines_of(bundle: Bundle) -> list[ListedEngine]:
    """Every engine in the cache that was made of one of the bundle's files, oldest first.

    Raises:
        MachineError: there is no cache folder.
    """
    sidecars = (cache_folder() / "engines").glob(f"[!.]*/{SIDECAR}")
    found = [engine for engine in map(_listed, sidecars) if engine]
    hashes = set(bundle.manifest.files.values())
    ours = (engine for engine in found if engine.facts.get("onnx_sha256") in hashes)
    return sorted(ours, key=lambda engine: (engine.built, engine.path))


def _listed(sidecar: Path) -> ListedEngine | None:
    """None for what is no engine: the next build of that key replaces it."""
    try:
        facts = dict(json.loads(sidecar.read_text())["facts"])
        size = (sidecar.parent / BLOB).stat().st_size
        when = datetime.fromtimestamp(sidecar.stat().st_mtime, timezone.utc)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return ListedEngine(sidecar.parent, size, when.isoformat(" ", "seconds"), facts)
