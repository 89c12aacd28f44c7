"""Recordings as live cameras: one time base, their own latencies, rate, loop and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cameras import next_frame, taken, thermal_settings, visible_settings
from mcaps import MS, START_NS, Said, image, pairs_said, picture, write_drive, write_foxglove, write_ros

from edgefusion.core.errors import InputError, RecordingError, RigError, RunError
from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.recordings.mcap import McapRecording
from edgefusion.recordings.pairing import Side
from runtime.capture.base import StreamEndError, open_camera
from runtime.capture.faults import Fault, FaultyCamera
from runtime.capture.replay import ReplayCamera

STEP_NS = 33_333_333


def replay(address: object, side: Side = "visible", **given: Any) -> ReplayCamera:
    settings = visible_settings(**given) if side == "visible" else thermal_settings(**given)
    return ReplayCamera(str(address), settings, side)


@contextmanager
def opened(*cameras: ReplayCamera) -> Iterator[None]:
    for camera in cameras:
        camera.open()
    yield
    for camera in cameras:
        camera.close()


def to_the_end(camera: ReplayCamera) -> list[Frame]:
    """All frames, with copies of their pixels."""
    found = []
    try:
        while True:
            frame = next_frame(camera)
            found.append(Frame(frame.pixels.copy(), frame.format, frame.timestamp_ns, frame.clock, frame.sequence))
            frame.release()
    except StreamEndError:
        return found


def both_to_the_end(visible: ReplayCamera, thermal: ReplayCamera) -> tuple[list[Frame], list[Frame]]:
    second: list[Frame] = []
    other = threading.Thread(target=lambda: second.extend(to_the_end(thermal)))
    other.start()
    first = to_the_end(visible)
    other.join()
    return first, second


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_ros(tmp_path / "drive.mcap", pairs_said(10))


@pytest.fixture
def long_drive(tmp_path: Path) -> Path:
    """Longer than any test takes."""
    return write_ros(tmp_path / "long.mcap", pairs_said(600))


@pytest.mark.parametrize("write", [write_ros, write_foxglove])
def test_both_cameras_give_every_frame_on_one_time_base(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "drive.mcap", pairs_said(20))
    visible, thermal = replay(f"{path}#rate=10", buffers=32), replay(f"{path}#rate=10", "thermal", buffers=32)
    with opened(visible, thermal):
        first, second = both_to_the_end(visible, thermal)
    assert [frame.sequence for frame in first] == [frame.sequence for frame in second] == list(range(20))
    skews = [b.timestamp_ns - a.timestamp_ns for a, b in zip(first, second, strict=True)]
    assert np.abs(np.array(skews) - 2 * MS / 10).max() <= 1
    steps = np.diff([frame.timestamp_ns for frame in first])
    assert np.abs(steps - STEP_NS / 10).max() <= 1
    for frame, pair in zip(second, McapRecording(path), strict=True):
        assert frame.clock == "monotonic"
        assert np.array_equal(frame.pixels, pair.thermal.pixels)


def test_as_fast_as_can_be_every_frame_comes_and_they_are_in_the_order_of_exposure(tmp_path: Path) -> None:
    path = write_ros(tmp_path / "drive.mcap", pairs_said(60))
    visible, thermal = replay(f"{path}#rate=max"), replay(f"{path}#rate=max", "thermal")
    with opened(visible, thermal):
        first, second = both_to_the_end(visible, thermal)
        now_ns = time.monotonic_ns()
    assert [frame.sequence for frame in first] == [frame.sequence for frame in second] == list(range(60))
    stamps = [frame.timestamp_ns for pair in zip(first, second, strict=True) for frame in pair]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= now_ns


@pytest.mark.parametrize("rate", ["10", "max"])
def test_a_second_run_begins_at_the_start_although_the_first_ones_cameras_still_exist(drive: Path, rate: str) -> None:
    kept = []
    for _ in range(2):
        cameras = [replay(f"{drive}#rate={rate}", side, buffers=16) for side in ("visible", "thermal")]
        kept.append(cameras)
        with opened(*cameras):
            began_ns = time.monotonic_ns()
            runs = both_to_the_end(*cameras)
        assert [[frame.sequence for frame in run] for run in runs] == [list(range(10))] * 2
        assert all(frame.timestamp_ns > began_ns - 1000 * MS for run in runs for frame in run)


def test_open_camera_knows_it_and_says_what_comes(drive: Path) -> None:
    camera = open_camera("thermal", thermal_settings(device=f"replay:{drive}#topic=/thermal/image_raw"))
    assert camera.open() == (PixelFormat.Y16, (64, 48))
    assert {"kind", "memory", "copies", "rate"} <= set(camera.facts)
    camera.close()


def test_frames_come_when_they_were_logged_and_are_as_late_as_then(tmp_path: Path) -> None:
    said = [each._replace(log_ns=each.stamp_ns + 40 * MS) for each in pairs_said(6)]
    visible = replay(write_ros(tmp_path / "late.mcap", said), buffers=8)
    began_ns = time.monotonic_ns()
    with opened(visible):
        for index in range(6):
            frame = next_frame(visible)
            now_ns = time.monotonic_ns()
            assert now_ns - frame.timestamp_ns >= 40 * MS
            assert now_ns - began_ns >= index * STEP_NS
            frame.release()


@pytest.mark.parametrize("rate", [2, 0.5])
def test_rate(tmp_path: Path, rate: float) -> None:
    path = write_ros(tmp_path / "drive.mcap", pairs_said(6, fps=60))
    camera = replay(f"{path}#rate={rate}", buffers=8)
    with opened(camera):
        assert camera.facts["rate"] == pytest.approx(60 * rate, rel=0.05)
        began_ns = time.monotonic_ns()
        frames = to_the_end(camera)
        took_ns = time.monotonic_ns() - began_ns
    steps = np.diff([frame.timestamp_ns for frame in frames])
    assert np.abs(steps - 1e9 / 60 / rate).max() <= 2
    assert took_ns >= 4 * 1e9 / 60 / rate


def test_two_cameras_agree_whenever_they_are_opened(long_drive: Path) -> None:
    visible, thermal = replay(long_drive), replay(long_drive, "thermal")
    with opened(visible):
        first = next_frame(visible)
        time.sleep(0.1)
        with opened(thermal):
            second = next_frame(thermal)
            steps = second.sequence - first.sequence
            assert second.timestamp_ns - first.timestamp_ns - 2 * MS == pytest.approx(steps * 1e9 / 30, abs=2)


def test_loop_goes_on_in_time_and_number(drive: Path) -> None:
    camera = replay(f"{drive}#rate=2&loop=1", buffers=32)
    with opened(camera):
        frames = taken(camera, 25)
    assert [frame.sequence for frame in frames] == list(range(25))
    steps = np.diff([frame.timestamp_ns for frame in frames])
    assert np.abs(steps - STEP_NS / 2).max() < 2 * MS


def test_the_end_is_an_end_however_often_one_asks(drive: Path) -> None:
    camera = replay(f"{drive}#rate=max")
    with opened(camera):
        assert len(to_the_end(camera)) == 10
        with pytest.raises(StreamEndError):
            camera.read(1)
        camera.close()
        camera.open()
        with pytest.raises(StreamEndError):
            camera.read(1)


def test_the_end_of_one_camera_does_not_hold_the_other_up(tmp_path: Path) -> None:
    said = [each for each in pairs_said(40) if "thermal" not in each.topic or each.stamp_ns < START_NS + 100 * MS]
    path = write_ros(tmp_path / "drive.mcap", said)
    visible, thermal = replay(f"{path}#rate=max"), replay(f"{path}#rate=max", "thermal")
    with opened(visible, thermal):
        first, second = both_to_the_end(visible, thermal)
    assert (len(first), len(second)) == (40, 3)


def test_a_buffer_is_used_again_only_after_its_release(drive: Path) -> None:
    camera = replay(f"{drive}#rate=max", buffers=5)
    with opened(camera):
        held = [next_frame(camera) for _ in range(3)]
        assert camera.read(0.01) is None
        assert [int(frame.pixels[0, 0, 0]) for frame in held] == [0, 1, 2]
        for _ in range(3):
            held.pop(1).release()
            held.append(next_frame(camera))
        assert [int(frame.pixels[0, 0, 0]) for frame in held] == [0, 4, 5]


def test_a_reader_that_is_late_loses_the_oldest(tmp_path: Path) -> None:
    path = write_ros(tmp_path / "drive.mcap", pairs_said(30, fps=100))
    camera = replay(path, buffers=3)
    with opened(camera):
        next_frame(camera).release()
        time.sleep(0.15)
        frames = to_the_end(camera)
    assert frames[0].sequence >= 10
    assert frames[-1].sequence == 29
    assert int(frames[0].pixels[0, 0, 0]) == frames[0].sequence


def test_after_a_disconnect_it_goes_on_where_the_recording_is_then(long_drive: Path) -> None:
    camera = FaultyCamera(replay(long_drive), Fault("disconnect", at_frame=1, seconds=0.2))
    with closing(camera):
        camera.open()
        first = next_frame(camera)
        with pytest.raises(RunError, match="disconnected"):
            next_frame(camera)
        time.sleep(0.25)
        camera.open()
        again = next_frame(camera)
    assert again.timestamp_ns - first.timestamp_ns > 180 * MS
    assert again.sequence - first.sequence == round((again.timestamp_ns - first.timestamp_ns) / STEP_NS)


def test_stamps_of_another_clock_than_the_log_are_taken_for_exposures(tmp_path: Path) -> None:
    said = [each._replace(stamp_ns=each.stamp_ns - START_NS + MS, log_ns=each.stamp_ns) for each in pairs_said(5)]
    path = write_ros(tmp_path / "boot.mcap", said)
    visible, thermal = replay(f"{path}#rate=1", buffers=8), replay(f"{path}#rate=1", "thermal", buffers=8)
    with opened(visible, thermal):
        began_ns = time.monotonic_ns()
        first, second = both_to_the_end(visible, thermal)
    assert abs(first[0].timestamp_ns - began_ns) < 20_000 * MS
    assert {b.timestamp_ns - a.timestamp_ns for a, b in zip(first, second, strict=True)} == {2 * MS}


def test_a_camera_whose_stamps_are_of_its_own_clock_is_refused(tmp_path: Path) -> None:
    said = [
        each._replace(stamp_ns=each.stamp_ns - START_NS + MS, log_ns=each.stamp_ns) if "thermal" in each.topic else each
        for each in pairs_said(3)
    ]
    path = write_ros(tmp_path / "two.mcap", said)
    with pytest.raises(RecordingError, match=r"/thermal/image_raw: its stamps are 1700000000 s from.*one clock"):
        replay(path, "thermal").open()


def test_without_stamps_the_log_time_counts(tmp_path: Path) -> None:
    said = [each._replace(stamp_ns=0, log_ns=each.stamp_ns) for each in pairs_said(4)]
    camera = replay(f"{write_ros(tmp_path / 'old.mcap', said)}#rate=1", buffers=8)
    with pytest.warns(UserWarning, match="without a time of exposure"):
        camera.open()
    frames = to_the_end(camera)
    camera.close()
    assert {frame.clock for frame in frames} == {"receive"}
    assert np.abs(np.diff([frame.timestamp_ns for frame in frames]) - STEP_NS).max() <= 1


def test_compressed_pictures(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    said = [Said("/rgb/compressed", START_NS + index * MS, picture(colour, "png")) for index in range(3)]
    camera = replay(f"{write_ros(tmp_path / 'png.mcap', said)}#topic=/rgb/compressed&rate=max")
    with opened(camera):
        assert all(np.array_equal(frame.pixels, colour) for frame in to_the_end(camera))


def test_the_folder_of_a_bag(tmp_path: Path) -> None:
    write_drive(tmp_path / "bag_0.mcap", 3)
    camera = replay(f"{tmp_path}#rate=max")
    with opened(camera):
        assert len(to_the_end(camera)) == 3


def test_a_file_that_is_cut_short_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    whole = write_ros(tmp_path / "whole.mcap", pairs_said(12), compression="NONE", chunk_size=20_000)
    path = tmp_path / "cut.mcap"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    camera = replay(f"{path}#rate=max")
    with pytest.warns(UserWarning, match="cut short"):
        camera.open()
    frames = to_the_end(camera)
    camera.close()
    assert 2 < len(frames) < 9


def test_an_encoding_that_is_not_known_is_named_when_it_is_opened(tmp_path: Path) -> None:
    said = [Said("/rgb", START_NS, {**image("rgb8", np.zeros((8, 8, 3), np.uint8)), "encoding": "bayer_rggb8"})]
    with pytest.raises(RecordingError, match="encoding 'bayer_rggb8' is not supported; record rgb8"):
        replay(f"{write_ros(tmp_path / 'bayer.mcap', said)}#topic=/rgb").open()


def test_a_size_that_changes_is_an_error_of_that_frame(tmp_path: Path) -> None:
    sizes = [(8, 8), (8, 8), (16, 8), (8, 8)]
    said = [
        Said("/rgb", START_NS + index * MS, image("rgb8", np.zeros((*size, 3), np.uint8)))
        for index, size in enumerate(sizes)
    ]
    camera = replay(f"{write_ros(tmp_path / 'sizes.mcap', said)}#topic=/rgb&rate=max")
    with opened(camera):
        taken(camera, 2)
        with pytest.raises(InputError, match="frame 2: it is RGB24 8x16, those before it RGB24 8x8"):
            camera.read(5)
        assert next_frame(camera).sequence == 3


def test_no_such_topic_lists_those_that_are_there(drive: Path) -> None:
    with pytest.raises(RecordingError, match=r"no topic /lwir; it has /camera/image_raw .*, /thermal/image_raw"):
        replay(f"{drive}#topic=/lwir").open()


def test_topics_that_cannot_be_told_apart_say_how_to_name_one(tmp_path: Path) -> None:
    path = write_ros(tmp_path / "two.mcap", pairs_said(2, visible="/a/rgb", thermal="/b/rgb"))
    with pytest.raises(RecordingError, match=r"not certain; it has /a/rgb .*#topic=TOPIC"):
        replay(path).open()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("none.mcap", None, "no such file"), ("text.mcap", b"hello, world", "not an MCAP file")],
)
def test_files_that_are_no_recording(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=said):
        replay(tmp_path / name).open()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "no recording is named; write replay:PATH"),
        ("a.mcap#rate=0", "rate is more than 0, up to 1000, or max"),
        ("a.mcap#rate=fast", "visible.device: rate=fast"),
        ("a.mcap#loop=2", "loop is 0, or 1"),
        ("a.mcap#topics=/a", "no option 'topics'; one of topic"),
        ("a.mcap#topic=", "topic is the name"),
        ("a.mcap#rate=1&rate=2", "rate is given twice; write name=value&name=value"),
    ],
)
def test_malformed_options_say_what_is_possible(address: str, said: str) -> None:
    with pytest.raises(RigError, match=said):
        replay(address)


def test_reading_a_camera_that_was_never_opened_says_so(drive: Path) -> None:
    with pytest.raises(RunError, match="not open"):
        replay(drive).read(0)
