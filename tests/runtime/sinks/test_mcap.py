"""A run written as MCAP: what is in it, that it runs again, and what is left when it ends badly."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcaps import foxglove, write_drive
from PIL import Image

from edgefusion.core.errors import RecordingError, UsageError
from edgefusion.core.frames import REGULAR, Flag, Frame, FramePair, FusedInfo, PixelFormat
from edgefusion.recordings.mcap import McapRecording
from edgefusion.recordings.mcap_writer import RAW_TOPICS
from runtime.sinks import open_sink
from runtime.sinks.mcap import FUSED, INFO

VISIBLE, THERMAL = RAW_TOPICS["visible"], RAW_TOPICS["thermal"]
RGB = np.dstack([np.full((48, 64), value, np.uint8) for value in (200, 90, 30)])


def info(number: int, flags: Flag = REGULAR) -> FusedInfo:
    return FusedInfo(
        number, 1_000_000 * number, "monotonic", 10 + number, 20 + number, thermal_age_ns=2_500_000, flags=flags
    )


def inputs(number: int) -> FramePair:
    visible = Frame(
        np.full((48, 64, 2), number, np.uint8), PixelFormat.YUYV, 1_000_000 * number, "monotonic", 10 + number
    )
    thermal = Frame(
        np.full((24, 32), 5000 + number, np.uint16), PixelFormat.Y16, 1_000_000 * number, "monotonic", number
    )
    return FramePair(visible, thermal)


def messages(path: Path, topic: str) -> list[bytes]:
    with path.open("rb") as stream:
        return [message.data for _, _, message in make_reader(stream).iter_messages([topic])]


def fused(path: Path) -> list[np.ndarray]:
    with path.open("rb") as stream:
        found = []
        for schema, _, message in make_reader(stream).iter_messages([FUSED]):
            assert schema is not None
            assert schema.name == "foxglove.CompressedImage"
            found.append(message.data)
    # fields by number: 2 is data, as foxglove/CompressedImage.proto has it and the class of these tests
    return [np.asarray(Image.open(io.BytesIO(foxglove("CompressedImage").FromString(data).data))) for data in found]


def test_both_inputs_the_fused_frame_and_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "fused.mcap"
    sink = open_sink(str(path), fps=30)
    assert sink.wants_inputs
    for number in range(5):
        sink.write(RGB, info(number), inputs(number))
    sink.write(RGB, info(5, Flag.THERMAL_LOST | Flag.MISREGISTERED), None)
    sink.close()
    pairs = list(McapRecording(path))
    assert [(int(pair.visible.pixels.flat[0]), int(pair.thermal.pixels.flat[0])) for pair in pairs] == [
        (number, 5000 + number) for number in range(5)
    ]
    assert (pairs[0].visible.format, pairs[0].thermal.format) == (PixelFormat.YUYV, PixelFormat.Y16)
    pictures = fused(path)
    assert len(pictures) == 6
    np.testing.assert_allclose(pictures[0], RGB, atol=3)
    facts = [json.loads(data) for data in messages(path, INFO)]
    assert [each["frame_id"] for each in facts] == list(range(6))
    assert (facts[0]["flags"], facts[0]["degraded"], facts[0]["thermal_age_ms"]) == ([], False, 2.5)
    assert (facts[5]["flags"], facts[5]["degraded"]) == (["thermal_lost", "misregistered"], True)


def test_png_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fused.png.mcap"
    sink = open_sink(str(path), fps=30)
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    sink.write(noise, info(0), inputs(0))
    sink.close()
    np.testing.assert_array_equal(fused(path)[0], noise)


def test_a_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "fused.mcap").write_bytes(b"precious")
    with pytest.raises(UsageError, match="there is such a file already"):
        open_sink(str(tmp_path / "fused.mcap"), fps=30)


def test_what_is_abandoned_keeps_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "fused.mcap"
    sink = open_sink(str(path), fps=30)
    sink.write(RGB, info(0), inputs(0))
    sink.abandon()
    assert len(list(McapRecording(path))) == 1
    sink = open_sink(str(tmp_path / "empty.mcap"), fps=30)
    sink.abandon()
    assert not (tmp_path / "empty.mcap").exists()


def test_frames_of_another_size_are_written_and_said_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fused.mcap"
    sink = open_sink(str(path), fps=30)
    half = Frame(np.zeros((24, 64, 2), np.uint8), PixelFormat.YUYV, 1_000_000, "monotonic", 11)
    sink.write(RGB, info(0), inputs(0))
    sink.write(RGB[:24], info(1), replace(inputs(1), visible=half))
    sink.close()
    assert [picture.shape for picture in fused(path)] == [(48, 64, 3), (24, 64, 3)]
    assert len(messages(path, VISIBLE)) == 2
    with pytest.raises(RecordingError, match="it is YUYV 64x24, those before it YUYV 64x48"):
        list(McapRecording(path))


def test_a_run_becomes_a_recording_that_runs_again(edgefusion, tmp_path: Path) -> None:
    source, first, second = write_drive(tmp_path / "drive.mcap", 6), tmp_path / "a.png.mcap", tmp_path / "b.png.mcap"
    for recording, output in ((source, first), (first, second)):
        result = edgefusion("run", "--recording", recording, "--output", output, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["counts"]["published"] == 6
    assert len(messages(second, VISIBLE)) == len(messages(second, THERMAL)) == 6
    for before, after in zip(fused(first), fused(second), strict=True):
        np.testing.assert_array_equal(before, after)
