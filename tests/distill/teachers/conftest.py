from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scenes import write_folder

pytest.importorskip("diffusers", reason="diffusers comes with [train]")


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A small data folder: four training pairs and a validation pair."""
    root = tmp_path / "data"
    write_folder(root / "pairs" / "roadscene", ["a", "b", "c", "d", "e"])
    split = {"roadscene": ["a", "b", "c", "d"], "m3svd_clips": []}
    (root / "splits.json").write_text(json.dumps({"train": split, "val": {"roadscene": ["e"]}}))
    return root


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tiny teacher with seeded weights; returns its folder."""

    def write(name: str = "teacher", *, manifest: dict[str, Any] | None = None, **network: Any) -> Path:
        import torch

        from distill.teachers import prior
        from distill.teachers.folder import save_teacher

        torch.manual_seed(0)
        unet = prior.network((16, 32), **network)
        save_teacher(tmp_path / name, unet, prior.schedule(), manifest or {"kind": "prior"})
        return tmp_path / name

    return write
