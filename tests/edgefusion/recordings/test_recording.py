from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from scenes import write_folder, write_video

from edgefusion.core.errors import MachineError, RecordingError, UsageError
from edgefusion.core.frames import PixelFormat
from edgefusion.recordings.recording import locate, open_recording
from edgefusion.recordings.video import VideoReader, VideoWriter


def test_a_folder_of_images_gives_its_pairs_by_name(tmp_path: Path) -> None:
    recording = open_recording(*locate(write_folder(tmp_path / "r", ["b", "a"], bits=16)))
    pairs = list(recording)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs[0].thermal.format is PixelFormat.Y16
    assert (recording.length, recording.fps) == (2, None)


def test_two_videos_give_pairs_with_their_times(tmp_path: Path) -> None:
    for half in ("visible", "thermal"):
        (tmp_path / half).mkdir()
        write_video(tmp_path / half / "drive.mp4", 12, fps=25)
    recording = open_recording(*locate(tmp_path))
    pairs = list(recording)
    assert (len(pairs), recording.length, recording.fps) == (12, 12, 25)
    assert pairs[5].visible.timestamp_ns == 200_000_000
    assert pairs[5].thermal.format is PixelFormat.GREY
    assert pairs[5].visible.pixels[20, 8].mean() == pytest.approx(200, abs=12)


def test_sixteen_bit_thermal_video_keeps_its_counts(tmp_path: Path) -> None:
    counts = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 5
    with av.open(str(tmp_path / "t.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=9)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for packet in stream.encode(av.VideoFrame.from_ndarray(counts, format="gray16le")):
            container.mux(packet)
        container.mux(stream.encode(None))
    frame = next(iter(VideoReader(tmp_path / "t.mkv", "thermal")))
    assert frame.format is PixelFormat.Y16
    np.testing.assert_array_equal(frame.pixels, counts)


def test_videos_of_other_length_are_refused_or_cut(tmp_path: Path) -> None:
    visible, thermal = write_video(tmp_path / "v.mp4", 9), write_video(tmp_path / "t.mp4", 5)
    with pytest.raises(RecordingError, match="visible has 9 frames and thermal 5; pass --intersect"):
        open_recording(visible, thermal)
    with pytest.warns(UserWarning, match="9 frames and thermal 5"):
        recording = open_recording(visible, thermal, intersect=True)
    assert len(list(recording)) == 5


def test_videos_of_other_rate_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="30 frames per second and thermal at 9"):
        open_recording(write_video(tmp_path / "v.mp4", 5), write_video(tmp_path / "t.mp4", 5, fps=9))


def test_several_videos_ask_which(tmp_path: Path) -> None:
    for half in ("visible", "thermal"):
        (tmp_path / half).mkdir()
        for name in ("a.mp4", "b.mp4"):
            write_video(tmp_path / half / name, 2)
    with pytest.raises(UsageError, match=r"several videos \(a.mp4, b.mp4\)"):
        locate(tmp_path)


@pytest.mark.parametrize("keep", [0, 100, 700])
def test_a_truncated_video_is_an_error(tmp_path: Path, keep: int) -> None:
    path = write_video(tmp_path / "v.mp4", 9)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RecordingError, match="not a readable video"):
        VideoReader(path, "visible")


def test_an_odd_size_is_padded(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", (63, 47), fps=30) as writer:
        writer.write(np.full((47, 63, 3), 99, np.uint8))
    assert VideoReader(tmp_path / "v.mp4", "visible").size_px == (64, 48)


def test_what_is_written_plays_in_a_browser(tmp_path: Path) -> None:
    with av.open(str(write_video(tmp_path / "v.mp4", 3))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot write the video"):
        write_video(tmp_path / "none" / "v.mp4", 3)
