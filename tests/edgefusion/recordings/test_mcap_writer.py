"""MCAP as it is written here: what the reader makes of it, and what is left when the disk or the process ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.frames import Clock, Frame, FramePair, PixelFormat
from edgefusion.recordings.mcap import McapRecording
from edgefusion.recordings.mcap_file import McapFile
from edgefusion.recordings.mcap_writer import McapWriter

VISIBLE, THERMAL = "/visible/image_raw", "/thermal/image_raw"
DRAW = np.random.default_rng(3)
WIDTH, HEIGHT = 12, 8


def frame(
    kind: PixelFormat, number: int = 0, *, clock: Clock = "monotonic", size: tuple[int, int] | None = None
) -> Frame:
    shape = kind.array_shape(*(size or (WIDTH, HEIGHT)))
    pixels = DRAW.integers(0, np.iinfo(kind.dtype).max, shape, kind.dtype)
    return Frame(pixels, kind, 1_000_000_000 + number * 33_000_000, clock, 100 + number)


def pairs(path: Path) -> list[FramePair]:
    return list(McapRecording(path))


def written(path: Path, visible: Frame, thermal: Frame) -> FramePair:
    writer = McapWriter(path)
    writer.raw(VISIBLE, visible)
    writer.raw(THERMAL, thermal)
    writer.close()
    (pair,) = pairs(path)
    return pair


@pytest.mark.parametrize("kind", [PixelFormat.RGB24, PixelFormat.NV12, PixelFormat.YUYV, PixelFormat.GREY])
def test_visible_frames_come_back_as_they_were(tmp_path: Path, kind: PixelFormat) -> None:
    visible = frame(kind)
    back = written(tmp_path / "r.mcap", visible, frame(PixelFormat.Y16)).visible
    assert (back.format, back.size_px) == (kind, (WIDTH, HEIGHT))
    np.testing.assert_array_equal(back.pixels, visible.pixels)


def test_uyvy_comes_back_as_yuyv(tmp_path: Path) -> None:
    visible = frame(PixelFormat.UYVY)
    back = written(tmp_path / "r.mcap", visible, frame(PixelFormat.GREY)).visible
    assert back.format is PixelFormat.YUYV
    np.testing.assert_array_equal(back.pixels, visible.pixels[..., ::-1])


def test_thermal_frames_come_back_as_they_were_and_swapped_readings_put_right(tmp_path: Path) -> None:
    for kind in (PixelFormat.GREY, PixelFormat.Y16, PixelFormat.Y16_BE):
        thermal = frame(kind)
        back = written(tmp_path / f"{kind.value}.mcap", frame(PixelFormat.RGB24), thermal).thermal
        swapped = kind is PixelFormat.Y16_BE
        assert back.format is (PixelFormat.Y16 if swapped else kind)
        np.testing.assert_array_equal(back.pixels, thermal.pixels.byteswap() if swapped else thermal.pixels)


def test_pixels_that_are_part_of_a_larger_buffer(tmp_path: Path) -> None:
    whole = DRAW.integers(0, 255, (HEIGHT, WIDTH + 4, 3), np.uint8)
    visible = Frame(whole[:, :WIDTH], PixelFormat.RGB24, 5, "monotonic", 0)
    back = written(tmp_path / "r.mcap", visible, frame(PixelFormat.Y16, -30)).visible
    np.testing.assert_array_equal(back.pixels, whole[:, :WIDTH])


@pytest.mark.parametrize(("clock", "moved"), [("monotonic", True), ("realtime", False), ("receive", True)])
def test_times_are_times_of_day(tmp_path: Path, clock: Clock, moved: bool) -> None:
    visible, thermal = frame(PixelFormat.GREY, clock=clock), frame(PixelFormat.Y16, clock=clock)
    before_ns = time.time_ns() - time.monotonic_ns()
    back = written(tmp_path / "r.mcap", visible, thermal).visible
    offset_ns = back.timestamp_ns - visible.timestamp_ns
    assert abs(offset_ns - (before_ns if moved else 0)) < 10**9
    received = Frame(visible.pixels, visible.format, time.time_ns(), "receive", 0)
    writer = McapWriter(tmp_path / "second.mcap")
    assert writer.time_ns(received.timestamp_ns, "receive") == received.timestamp_ns
    assert writer.offset_ns == pytest.approx(before_ns, abs=10**9)
    writer.close()


def test_every_tool_finds_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.mcap"
    writer = McapWriter(path)
    writer.metadata("rig", {"name": "front"})
    writer.attach("rig.toml", "application/toml", b"schema = 1")
    for number in range(40):
        writer.raw(VISIBLE, frame(PixelFormat.RGB24, number, size=(200, 100)), log_ns=5_000_000_000 + number)
        writer.note("/info", {"number": number, "flags": ["stale"]}, stamp_ns=number, sequence=number)
    writer.picture("/fused/image", b"jpg", "jpeg", stamp_ns=7, sequence=3)
    writer.close()
    writer.close()  # once is enough
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert len(summary.chunk_indexes) > 3
        messages = list(reader.iter_messages(log_time_order=False))
        assert summary.statistics.message_count == len(messages) == 81
        schemas = {channel.topic: schema.name for schema, channel, _ in messages if schema}
        assert schemas[VISIBLE] == "foxglove.RawImage"
        assert schemas["/fused/image"] == "foxglove.CompressedImage"
        channels = {channel.topic: channel for channel in summary.channels.values()}
        assert channels[VISIBLE].metadata == {"pixel_format": "RGB24", "clock": "monotonic"}
        seen = [message for _, channel, message in messages if channel.topic == VISIBLE]
        assert [message.sequence for message in seen] == list(range(100, 140))
        assert seen[3].log_time == writer.offset_ns + 5_000_000_003
        assert seen[3].publish_time == writer.offset_ns + frame(PixelFormat.GREY, 3).timestamp_ns
        (note, *_) = [message.data for _, channel, message in messages if channel.topic == "/info"]
        assert json.loads(note) == {"number": 0, "flags": ["stale"]}
        facts = {each.name: each.metadata for each in reader.iter_metadata()}
        assert facts["rig"] == {"name": "front"}
        assert facts["edgefusion"] == {"realtime_minus_monotonic_ns": str(writer.offset_ns)}
        (attached,) = reader.iter_attachments()
        assert (attached.name, attached.data) == ("rig.toml", b"schema = 1")


def test_the_fused_topic_is_neither_camera(tmp_path: Path) -> None:
    writer = McapWriter(tmp_path / "r.mcap")
    writer.raw("/fused/image_raw", frame(PixelFormat.RGB24))
    writer.raw(VISIBLE, frame(PixelFormat.RGB24))
    writer.raw(THERMAL, frame(PixelFormat.Y16))
    writer.close()
    assert McapRecording(tmp_path / "r.mcap").topics == (VISIBLE, THERMAL)


def test_numbers_and_types_of_fields_are_those_of_foxglove(tmp_path: Path) -> None:
    """By the wire: foxglove/RawImage.proto numbers timestamp, width, height, encoding, step, data, frame_id 1 to 7."""
    writer = McapWriter(tmp_path / "r.mcap")
    writer.raw("/v", Frame(np.array([[7, 8]], np.uint8), PixelFormat.GREY, 10**18 + 2, "realtime", 0))
    writer.picture("/f", b"ab", "png", stamp_ns=10**18 + 2, sequence=0)
    writer.close()
    with (tmp_path / "r.mcap").open("rb") as stream:
        raw, picture = (message.data for _, _, message in make_reader(stream).iter_messages())
    stamp = b"\x0a\x08\x08\x80\x94\xeb\xdc\x03\x10\x02"
    assert raw == stamp + (
        b"\x15\x02\0\0\0"
        + b"\x1d\x01\0\0\0"
        + b"\x22\x05mono8"
        + b"\x2d\x02\0\0\0"
        + b"\x32\x02\x07\x08"
        + b"\x3a\x01v"
    )
    assert picture == stamp + b"\x12\x02ab" + b"\x1a\x03png" + b"\x22\x01f"


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "r.mcap"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="there is such a file already"):
        McapWriter(path)
    assert path.read_bytes() == b"precious"
    McapWriter(path, replace=True).close()
    assert path.read_bytes().startswith(b"\x89MCAP")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="No such file or directory"):
        McapWriter(tmp_path / "no" / "r.mcap")


CHILD = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from edgefusion.core.errors import MachineError
from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.recordings.mcap_writer import McapWriter

path, room, at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
writer = McapWriter(path)
draw = np.random.default_rng(0)
try:
    for number in range(10**6):
        if number == at:  # from now on there is so much room on the disk
            limit = path.stat().st_size + room
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for side, kind in (("visible", PixelFormat.RGB24), ("thermal", PixelFormat.Y16)):
            pixels = draw.integers(0, 255, kind.array_shape(480, 320)).astype(kind.dtype)
            writer.raw(f"/{side}/image_raw", Frame(pixels, kind, number * 33_000_000, "monotonic", number))
        print(number + 1, flush=True)
except MachineError as error:
    print(error)
    writer.close()  # has nothing more to do
"""


def child(path: Path, *, room: int = 0, at: int = -1) -> subprocess.Popen[str]:
    call = [sys.executable, "-c", CHILD, str(path), str(room), str(at)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_process_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.mcap"
    with child(path) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(12)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    with pytest.warns(UserWarning, match="it is cut short, as by a recorder that crashed"):
        recording = McapRecording(path)
    assert int(said[-1]) >= 12
    assert len(list(recording)) >= int(said[-1])


@pytest.mark.parametrize("room", [1_000_000, 60, 20, 0])
def test_what_was_written_before_the_disk_was_full_is_read(tmp_path: Path, room: int) -> None:
    path = tmp_path / "r.mcap"
    with child(path, room=room, at=5) as process:
        assert process.stdout is not None
        *said, error = process.stdout.readlines()
    assert process.returncode == 0
    assert "r.mcap: cannot write the recording (File too large); what was written before can be read" in error
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        messages = {name: topic.messages for name, topic in McapFile(path).topics.items()}
    assert messages[THERMAL] == int(said[-1]) >= 5
    assert messages[VISIBLE] - messages[THERMAL] in (0, 1)
    assert bool(caught) == (room < 50)  # no room for the end either: then a reader says so
