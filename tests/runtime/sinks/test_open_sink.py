"""Which sink an ``--output`` names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.frames import FusedInfo
from runtime.sinks import FILES, KINDS, open_sink


@pytest.mark.parametrize(
    ("output", "name"),
    [("fused.MP4", "VideoSink"), ("fused.mkv", "VideoSink"), ("fused.mcap", "McapSink"), ("fused", "ImageSink")],
)
def test_a_file_by_its_suffix_else_a_folder(tmp_path: Path, output: str, name: str) -> None:
    sink = open_sink(str(tmp_path / output), fps=30)
    assert type(sink).__name__ == name
    sink.abandon()


def test_nothing_by_default() -> None:
    assert type(open_sink(None, fps=30)).__name__ == "NullSink"


def test_what_cannot_be_written_names_what_can(tmp_path: Path) -> None:
    for suffix in (".gif", ".webm"):
        with pytest.raises(UsageError, match=rf"cannot write \{suffix}; a folder, or one of \.mp4, .*\.mov, \.mcap$"):
            open_sink(str(tmp_path / f"fused{suffix}"), fps=30)
    with pytest.raises(MachineError, match="no such folder"):
        open_sink(str(tmp_path / "no" / "fused.mp4"), fps=30)


def test_a_colon_in_a_name_makes_no_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night:2").mkdir()
    for output, name in [("night:1.mp4", "VideoSink"), ("night:2", "ImageSink"), ("./night:3", "ImageSink")]:
        sink = open_sink(output, fps=30)
        assert type(sink).__name__ == name
        sink.abandon()
    with pytest.raises(UsageError, match=r"no kind 'v4l'; one of ring, v4l2, rerun, or a path"):
        open_sink("v4l:/dev/video9", fps=30)


@pytest.mark.parametrize("suffix", [".mcap", ".mp4"])
def test_a_file_name_may_hold_the_time(tmp_path: Path, suffix: str) -> None:
    sink = open_sink(str(tmp_path / f"drive-%Y%m%d-%H%M%S{suffix}"), fps=30)
    sink.write(np.zeros((48, 64, 3), np.uint8), FusedInfo(0, 10**9, "monotonic", 0, 0, thermal_age_ns=0), None)
    sink.close()
    (path,) = tmp_path.iterdir()
    assert re.fullmatch(rf"drive-20\d{{6}}-\d{{6}}\{suffix}", path.name)


def test_a_folder_may_look_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "v1.2").mkdir()
    assert type(open_sink(str(tmp_path / "v1.2"), fps=30)).__name__ == "ImageSink"
    assert set(KINDS) == {"v4l2", "rerun"}
    assert set(FILES) == {".mcap"}
