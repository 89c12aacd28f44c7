"""rig.toml of a little simulated rig, for runs in a process of their own."""

from __future__ import annotations

from pathlib import Path

RIG = """
name = "{name}"
registration = [[0.6, 0, 1], [0, 0.6, 1], [0, 0, 1]]
[visible]
size_px = [64, 48]
format = "YUYV"
fps = 60
buffers = 8
device = "simulated:seed={seed},prerender=6"
[thermal]
size_px = [40, 32]
format = "Y16"
bits = 14
fps = 60
buffers = 8
device = "simulated:seed={seed},prerender=6"
{more}
"""


def write_rig(path: Path, *, name: str = "front", seed: int = 1, more: str = "") -> Path:
    """The file of a rig that runs at 60 fps; ``more`` is appended."""
    path.write_text(RIG.format(name=name, seed=seed, more=more))
    return path
