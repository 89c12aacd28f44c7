"""MCAP recordings: topics, times, pairs, memory, bad files, and the commands that take them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcaps import MS, START_NS, Said, image, pairs_said, picture, rewrite, write_drive, write_foxglove, write_ros
from scenes import rig_toml
from small_rigs import small_rig

from edgefusion.core.errors import RecordingError, UsageError
from edgefusion.core.frames import FramePair
from edgefusion.recordings.images import read_visible
from edgefusion.recordings.mcap import McapRecording
from edgefusion.recordings.options import chosen_recordings
from edgefusion.recordings.recording import locate, open_recording
from edgefusion.recordings.video import VideoReader

Call = Callable[..., Result]
COLOUR = image("rgb8", np.zeros((4, 4, 3), np.uint8))
DEEP = image("mono16", np.zeros((4, 4), np.uint16))
GREY = image("mono8", np.zeros((4, 4), np.uint8))


def values(pairs: list[FramePair]) -> list[tuple[int, int]]:
    return [(int(pair.visible.pixels.flat[0]), int(pair.thermal.pixels.flat[0])) for pair in pairs]


def check_whole(path: Path, count: int = 12) -> None:
    recording = McapRecording(path)
    pairs = list(recording)
    assert values(pairs) == [(number, 1000 + number) for number in range(count)]
    assert (recording.length, recording.dropped) == (count, {"visible": 0, "thermal": 0})
    assert recording.fps == pytest.approx(30, rel=0.01)
    first = pairs[0]
    assert (first.visible.timestamp_ns, first.thermal.timestamp_ns) == (START_NS, START_NS + 2 * MS)
    assert (first.visible.clock, pairs[5].visible.sequence) == ("realtime", 5)


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZSTD"])
@pytest.mark.parametrize("write", [write_ros, write_foxglove])
def test_every_pair_of_a_file_with_its_time_and_number(write: Any, tmp_path: Path, compression: str) -> None:
    check_whole(write(tmp_path / "drive.mcap", pairs_said(12), compression=compression))


@pytest.mark.parametrize(
    "options",
    [
        {"use_chunking": False},
        {"use_statistics": False},
        {"repeat_channels": False, "repeat_schemas": False},
        {"chunk_size": 9000, "compression": CompressionType.LZ4},
    ],
)
def test_a_file_with_less_of_an_index_is_read_too(tmp_path: Path, options: dict[str, Any]) -> None:
    source = write_ros(tmp_path / "source.mcap", pairs_said(12))
    check_whole(rewrite(source, tmp_path / "drive.mcap", **options))


def test_a_file_with_one_topic_after_the_other(tmp_path: Path) -> None:
    said = sorted(pairs_said(90), key=lambda each: each.topic)
    check_whole(write_ros(tmp_path / "drive.mcap", said, chunk_size=9000), 90)


def test_a_bag_is_a_folder_with_a_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {}")
    path = write_ros(tmp_path / "bag_0.mcap", pairs_said(3))
    assert locate(tmp_path) == (path, path)
    write_ros(tmp_path / "bag_1.mcap", pairs_said(3))
    with pytest.raises(UsageError, match=r"several MCAP files \(bag_0.mcap, bag_1.mcap\)"):
        locate(tmp_path)


def test_unequal_rates_leave_frames_out(tmp_path: Path) -> None:
    said = [Said("/rgb", START_NS + number * 33 * MS, COLOUR) for number in range(61)]
    said += [Said("/lwir", START_NS + number * 111 * MS, DEEP) for number in range(18)]
    recording = McapRecording(write_ros(tmp_path / "r.mcap", sorted(said, key=lambda each: each.logged_ns)))
    pairs = list(recording)
    assert (len(pairs), recording.length) == (18, 18)
    assert recording.dropped == {"visible": 43, "thermal": 0}
    assert recording.fps == pytest.approx(17 / 1.98)
    assert [pair.thermal.sequence for pair in pairs] == [*range(18)]
    assert [pair.visible.sequence for pair in pairs[:4]] == [0, 3, 7, 10]


def test_frames_are_paired_by_exposure_and_not_as_they_were_logged(tmp_path: Path) -> None:
    said = [each._replace(log_ns=each.stamp_ns + ("thermal" in each.topic) * 90 * MS) for each in pairs_said(12)]
    path = write_ros(tmp_path / "drive.mcap", sorted(said, key=lambda each: each.logged_ns))
    assert values(list(McapRecording(path))) == [(number, 1000 + number) for number in range(12)]


def late_thermal(path: Path, count: int = 12) -> Path:
    """A drive whose thermal frames are stamped 100 ms, three frames, after their exposure."""
    return write_ros(path, [each._replace(stamp_ns=each.stamp_ns + ("thermal" in each.topic) * 100 * MS)
                            for each in pairs_said(count)])  # fmt: skip


def test_a_rig_says_how_late_a_camera_stamps_its_frames(tmp_path: Path) -> None:
    path, rig = late_thermal(tmp_path / "drive.mcap"), small_rig(offsets_ns=(0, -100 * MS))
    assert values(list(McapRecording(path))) == [(number + 3, 1000 + number) for number in range(9)]
    pairs = list(McapRecording(path, rig=rig))
    assert values(pairs) == [(number, 1000 + number) for number in range(12)]
    assert pairs[0].thermal.timestamp_ns == START_NS + 102 * MS  # as it was recorded: to be read with a rig again
    (named,) = chosen_recordings([path], [], [], intersect=False)
    assert values(list(named.by(rig).open())) == values(pairs)
    assert values(list(named.by(None).open())) == values(list(open_recording(path, path)))


def test_a_rig_says_how_far_apart_the_frames_of_a_pair_may_be(tmp_path: Path) -> None:
    said = [each._replace(stamp_ns=each.stamp_ns + ("thermal" in each.topic) * 40 * MS)
            for each in pairs_said(9, fps=10)]  # fmt: skip
    path = write_ros(tmp_path / "r.mcap", said)
    assert len(list(McapRecording(path, rig=small_rig(tolerance_ms=45)))) == 9
    with pytest.raises(RecordingError, match=r"within 41.5 ms; the nearest are 42.0 ms apart"):
        list(McapRecording(path, rig=small_rig(tolerance_ms=41.5)))


def test_a_run_with_the_rig_pairs_what_belongs_together(edgefusion: Call, tmp_path: Path) -> None:
    first, second = tmp_path / "a.mcap", tmp_path / "b.mcap"
    rig = tmp_path / "rig.toml"
    rig.write_text(rig_toml((0, 0)).replace('"GREY"', '"Y16"\ntime_offset_ns = -100_000_000'))
    for recording, output in ((late_thermal(tmp_path / "drive.mcap"), first), (first, second)):
        result = edgefusion("run", "--recording", recording, "--rig", rig, "--output", output, "--json")
        assert result.exit_code == 0, result.output
        with output.open("rb") as stream:
            facts = [json.loads(message.data) for _, _, message in make_reader(stream).iter_messages(["/fused/info"])]
        assert [each["visible_sequence"] for each in facts] == [each["thermal_sequence"] for each in facts]
        assert [each["thermal_age_ms"] for each in facts] == [-2.0] * 12


def test_log_time_counts_only_where_there_is_no_stamp(tmp_path: Path) -> None:
    said = [each._replace(log_ns=each.stamp_ns, stamp_ns=0) if "thermal" in each.topic else each
            for each in pairs_said(4)]  # fmt: skip
    path = write_ros(tmp_path / "drive.mcap", said)
    with pytest.warns(UserWarning, match="drive.mcap: /thermal/image_raw: images without a time") as warned:
        pairs = list(McapRecording(path))
    assert len(warned) == 1
    assert [(pair.visible.clock, pair.thermal.clock) for pair in pairs] == [("realtime", "receive")] * 4
    assert pairs[1].thermal.timestamp_ns == said[3].log_ns


TOLD_APART = {
    "by name": (("/camera/image", GREY), ("/boson/image", GREY)),
    "words of one path": (("/rig/rgb_camera/image", GREY), ("/rig/thermal_camera/image", GREY)),
    "by encoding": (("/front", COLOUR), ("/front2", DEEP)),
    "by format": (("/front", picture(np.zeros((4, 4, 3), np.uint8), "jpeg")),
                  ("/front2", picture(np.zeros((4, 4), np.uint16), "png"))),
    "by name and encoding": (("/front", COLOUR), ("/flir/image", GREY)),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD_APART)
def test_topics_are_told_apart(tmp_path: Path, name: str) -> None:
    said = [Said(topic, START_NS, fields) for topic, fields in reversed(TOLD_APART[name])]
    said.append(Said("/notes", START_NS, {"data": "sunny"}))
    recording = McapRecording(write_ros(tmp_path / "r.mcap", said))
    assert recording.topics == tuple(topic for topic, _ in TOLD_APART[name])


UNCERTAIN = {
    "both grey": (("/left", GREY), ("/right", GREY)),
    "two visible": (("/rgb", COLOUR), ("/camera", COLOUR), ("/thermal", DEEP)),
    "depth is not thermal": (("/camera/color", COLOUR), ("/camera/depth", DEEP)),
    "thermal is no whole word": (("/front", COLOUR), ("/birds", GREY)),
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_topics_that_cannot_be_told_apart_are_listed(tmp_path: Path, name: str) -> None:
    said = [Said(topic, START_NS, fields) for topic, fields in UNCERTAIN[name]]
    path = write_ros(tmp_path / "r.mcap", said)
    with pytest.raises(RecordingError, match=r"not certain; it has .*; pass --topics VISIBLE,THERMAL$") as caught:
        McapRecording(path)
    assert all(f"{topic} (sensor_msgs/msg/Image)" in str(caught.value) for topic, _ in UNCERTAIN[name])
    names = [topic for topic, _ in UNCERTAIN[name]][:2]
    assert McapRecording(path, (names[0], names[1])).topics == tuple(names)


def test_topics_that_are_not_there_or_no_images(tmp_path: Path) -> None:
    path = write_ros(tmp_path / "r.mcap", [*pairs_said(2), Said("/notes", START_NS, {"data": "sunny"})])
    for topic, message in (("/none", "no topic /none; it has /cam"), ("/notes", r"/notes is no image \(std_msgs")):
        with pytest.raises(RecordingError, match=message):
            McapRecording(path, ("/camera/image_raw", topic))
    path = write_ros(tmp_path / "n.mcap", [Said("/notes", START_NS, {"data": "sunny"})])
    with pytest.raises(RecordingError, match=r"n.mcap: no image topic; it has /notes \(std_msgs/msg/String\)"):
        McapRecording(path)


def test_no_pair_at_all_says_how_near_they_came(tmp_path: Path) -> None:
    said = [Said("/rgb", START_NS + number * 100 * MS, COLOUR) for number in range(10)]
    said += [Said("/lwir", START_NS + (number * 100 + 47) * MS, DEEP) for number in range(5)]
    with pytest.raises(
        RecordingError, match=r"within 20 ms; the nearest are 47.0 ms apart; visible runs at 11.1"
    ) as caught:
        list(McapRecording(write_ros(tmp_path / "r.mcap", said)))
    assert "thermal runs at 5.56 frames per second" in str(caught.value)


def test_a_size_that_changes_is_named(tmp_path: Path) -> None:
    said = pairs_said(3)
    said[4] = said[4]._replace(fields=image("rgb8", np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(
        RecordingError, match="/camera/image_raw, frame 2: it is RGB24 8x8, those before it RGB24 64x48"
    ):
        list(McapRecording(write_ros(tmp_path / "r.mcap", said)))


@pytest.mark.parametrize("chunked", [True, False])
def test_what_a_crashed_recorder_left_is_read(tmp_path: Path, chunked: bool) -> None:
    source = write_ros(tmp_path / "source.mcap", pairs_said(40))
    path = rewrite(
        source, tmp_path / "r.mcap", use_chunking=chunked, chunk_size=50_000, compression=CompressionType.NONE
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"r.mcap: it is cut short, .*: \d+ of its \d+ bytes are whole, 0.6 s"):
        recording = McapRecording(path)
    pairs = list(recording)
    assert values(pairs) == [(number, 1000 + number) for number in range(len(pairs))]
    assert 16 <= len(pairs) <= 20
    assert recording.length == len(pairs)
    assert recording.fps == pytest.approx(30, rel=0.1)


def test_files_that_are_none(tmp_path: Path) -> None:
    whole = write_ros(tmp_path / "whole.mcap", pairs_said(4), compression="NONE").read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 255
    wrong = {
        b"": "not an MCAP file", b"nonsense": "not an MCAP file", whole[:8]: "no whole message",
        whole[:200]: "no whole message", bytes(middle): "damaged", whole[:-60] + whole[-8:]: "damaged",
    }  # fmt: skip
    for number, (content, message) in enumerate(wrong.items()):
        path = tmp_path / f"{number}.mcap"
        path.write_bytes(content)
        with pytest.raises(RecordingError, match=rf"{number}.mcap: {message}"):
            list(McapRecording(path))
    with pytest.raises(RecordingError, match=r"none.mcap: no such file"):
        locate(tmp_path / "none.mcap")


@pytest.mark.parametrize("chunked", [True, False])
def test_a_long_file_takes_little_memory(tmp_path: Path, chunked: bool) -> None:
    source = write_ros(tmp_path / "source.mcap", pairs_said(1500))
    path = rewrite(source, tmp_path / "r.mcap", use_chunking=chunked)
    list(islice(McapRecording(path), 3))
    tracemalloc.start()
    try:
        assert sum(1 for _ in McapRecording(path)) == 1500
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6e6  # of 23 MB of images


def test_run_fuses_a_file(edgefusion: Call, tmp_path: Path) -> None:
    path = write_drive(tmp_path / "drive.mcap", 5)
    result = edgefusion("run", "--recording", path, "--output", tmp_path / "fused", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["counts"]["published"] == 5
    assert sorted(file.name for file in (tmp_path / "fused").iterdir()) == [f"{n:06}.png" for n in range(5)]


def test_run_takes_the_topics_it_is_told(edgefusion: Call, tmp_path: Path) -> None:
    said = [Said(topic, START_NS, image("mono8", np.full((48, 64), level, np.uint8)))
            for topic, level in (("/left", 40), ("/right", 90))]  # fmt: skip
    path = write_ros(tmp_path / "r.mcap", said)
    refused = edgefusion("run", "--recording", path)
    assert (refused.exit_code, "pass --topics VISIBLE,THERMAL" in refused.output) == (4, True)
    preview = tmp_path / "p.png"
    done = edgefusion("run", "--recording", path, "--topics", "/right,/left", "--preview", preview)
    assert done.exit_code == 0, done.output
    assert read_visible(preview)[20, [20, 84], 0].tolist() == pytest.approx([90, 40], abs=1)


@pytest.mark.parametrize("words", [["--topics", "/a"], ["--topics", "/a,/a"], ["--topics", "/a,/b"]])
def test_topics_of_no_file_or_not_two_are_refused(edgefusion: Call, words: list[str]) -> None:
    result = edgefusion("run", "--frames", 1, *words)
    assert result.exit_code == 2
    assert "--topics" in result.output


def test_a_real_clip_is_fused_as_its_videos_are(edgefusion: Call, data: Path, tmp_path: Path) -> None:
    halves = [data / "recordings" / "m3svd" / half / "0117_1605.mp4" for half in ("visible", "thermal")]
    said = []
    for topic, path, kind, encoding in zip(
        ("/rgb", "/lwir"), halves, ("visible", "thermal"), ("rgb8", "mono8"), strict=True
    ):
        for frame in islice(VideoReader(path, kind), 20):  # type: ignore[arg-type]
            said.append(Said(topic, START_NS + frame.timestamp_ns, image(encoding, frame.pixels)))
    path = write_ros(tmp_path / "clip.mcap", sorted(said, key=lambda each: each.logged_ns))
    for words, output in (
        (["--recording", path], "mcap"), (["--visible", halves[0], "--thermal", halves[1], "--frames", 20], "videos")
    ):  # fmt: skip
        result = edgefusion("run", *words, "--output", tmp_path / output)
        assert result.exit_code == 0, result.output
    for number in range(20):
        fused = [read_visible(tmp_path / output / f"{number:06}.png") for output in ("mcap", "videos")]
        np.testing.assert_array_equal(*fused)
    assert open_recording(path, path).length == 20
