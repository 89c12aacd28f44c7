"""The recorded drives of the data set M3SVD that tests look at."""

from __future__ import annotations

from pathlib import Path

from edgefusion.recordings.video import Kind, VideoReader

CLIPS = ("0111_1716", "0113_1714", "0117_1605")


def clip_reader(data: Path, name: str, kind: Kind) -> VideoReader:
    """One camera's half of a clip."""
    return VideoReader(data / "recordings" / "m3svd" / kind / f"{name}.mp4", kind)
