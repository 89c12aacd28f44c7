"""RTSP cameras against a real server in a process of its own: H.264 over TCP and UDP."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from rtsp_server import CB, CR, RIGHT, STEP, STEPS, Server, luma, serving

from edgefusion.core import rig
from edgefusion.core.errors import EdgeFusionError, InputError, RigError
from edgefusion.core.frames import Frame, PixelFormat
from runtime.capture.base import CameraLostError, open_camera
from runtime.capture.rtsp import RtspCamera, parse_source

PATIENCE_S = 10.0


def settings(pixel_format: str = "NV12", **more: object) -> rig.Camera:
    return rig.Camera.model_validate({"size_px": (160, 120), "format": pixel_format, **more})


@contextmanager
def watching(server: Server, pixel_format: str = "NV12", fragment: str = "", **more: object) -> Iterator[RtspCamera]:
    camera = RtspCamera(server.url(fragment=fragment), settings(pixel_format, **more), "visible")
    try:
        camera.open()
        yield camera
    finally:
        camera.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """A server that no test stops."""
    with serving() as server:
        yield server


def take(camera: RtspCamera) -> Frame:
    """The next frame, which must come."""
    frame = camera.read(PATIENCE_S)
    assert frame is not None
    return frame


def number(frame: Frame) -> int:
    """Which picture an NV12 frame shows, of STEPS."""
    return round((int(frame.pixels[60, 40]) - luma(0)) / STEP)


def drain(camera: RtspCamera) -> None:
    while (frame := camera.read(PATIENCE_S)) is not None:
        frame.release()


def until_lost(camera: RtspCamera) -> CameraLostError:
    with pytest.raises(CameraLostError) as caught:
        drain(camera)
    return caught.value


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_pictures_come_in_order_with_their_numbers_and_moments(running: Server, transport: str) -> None:
    with watching(running, fragment=f"transport={transport}") as camera:
        before = time.monotonic_ns()
        taken = []
        for _ in range(12):
            frame = take(camera)
            taken.append((frame.sequence, number(frame), frame.timestamp_ns))
            assert frame.size_px == (160, 120)
            assert frame.clock == "receive"
            frame.release()
        assert camera.facts["transport"] == transport
    sequences, numbers, moments = zip(*taken, strict=True)
    assert len({(shown - sequence) % STEPS for shown, sequence in zip(numbers, sequences, strict=True)}) == 1
    assert list(sequences) == sorted(set(sequences))
    assert list(moments) == sorted(moments)
    assert before - 10**9 < moments[0] < moments[-1] <= time.monotonic_ns()


def test_a_frame_carries_the_moment_its_own_picture_came_not_the_next_one_s() -> None:
    interval_ns = 200_000_000
    with serving("--fps", "5", "--tell") as server:
        with watching(server) as camera:
            taken = {}
            for _ in range(6):
                frame = take(camera)
                taken[number(frame)] = frame.timestamp_ns
                frame.release()
        server.process.kill()
        assert server.process.stdout is not None
        sent = dict(tuple(map(int, line.split())) for line in server.process.stdout.read().splitlines())
    late_ns = sorted(moment - sent[shown] for shown, moment in taken.items())
    assert late_ns[0] >= 0
    assert late_ns[3] < interval_ns / 2


def test_nv12_is_the_stream_s_own_planes_copied_once(running: Server) -> None:
    with watching(running) as camera:
        frame = take(camera)
        pixels = frame.pixels
        assert abs(int(pixels[60, 120]) - RIGHT) <= 2
        assert abs(int(pixels[150, 40]) - CB) <= 3
        assert abs(int(pixels[150, 41]) - CR) <= 3
        assert camera.facts["copies"] == 1
        assert camera.facts["stream"] == "yuv420p"


def test_a_stream_of_full_range_becomes_limited() -> None:
    with serving("--pix-fmt", "yuvj420p") as server, watching(server) as camera:
        right = int(take(camera).pixels[60, 120])
        assert abs(right - (16 + RIGHT * 219 / 255)) <= 3
        assert camera.facts["copies"] == 2


@pytest.mark.parametrize(("pixel_format", "expected"), [("GREY", (RIGHT - 16) * 255 / 219), ("RGB24", None)])
def test_other_formats_are_converted(running: Server, pixel_format: str, expected: float | None) -> None:
    with watching(running, pixel_format) as camera:
        frame = take(camera)
        assert frame.format is PixelFormat(pixel_format)
        value = frame.pixels[60, 120]
        if expected is None:  # BT.601: these are what luma RIGHT with chroma CB, CR is
            grey = 1.164 * (RIGHT - 16)
            red, green, blue = 1.596 * (CR - 128), -0.392 * (CB - 128) - 0.813 * (CR - 128), 2.017 * (CB - 128)
            wanted = np.clip([grey + red, grey + green, grey + blue], 0, 255)
            assert np.abs(value.astype(int) - wanted).max() <= 5
        else:
            assert abs(int(value) - expected) <= 3
        assert camera.facts["copies"] == 2


def test_a_rig_s_device_opens_it(running: Server) -> None:
    camera = open_camera("visible", settings(device=running.url()))
    try:
        assert camera.open() == (PixelFormat.NV12, (160, 120))
    finally:
        camera.close()


def test_a_frame_keeps_its_pixels_while_others_come_and_after_close(running: Server) -> None:
    with watching(running, buffers=3) as camera:
        held = take(camera)
        copy = held.pixels.copy()
        for _ in range(8):
            take(camera).release()
        camera.close()
        np.testing.assert_array_equal(held.pixels, copy)
        held.release()


def test_a_slow_reader_gets_the_newest_and_sees_the_gap() -> None:
    with serving("--fps", "100") as server, watching(server, buffers=3) as camera:
        first = take(camera)
        first.release()
        while camera.facts["dropped"] < 20:
            time.sleep(0.01)
        assert take(camera).sequence > first.sequence + 10


def test_a_reader_that_releases_nothing_stalls_nobody() -> None:
    with serving("--fps", "100") as server, watching(server, buffers=3) as camera:
        held = [take(camera) for _ in range(3)]
        assert camera.read(0.05) is None
        held[0].release()
        assert take(camera).sequence > held[-1].sequence


def test_read_returns_in_time_and_a_silent_server_is_a_lost_camera() -> None:
    with serving() as server, watching(server, fragment="timeout=2") as camera:
        take(camera).release()
        server.process.send_signal(signal.SIGSTOP)
        while (frame := camera.read(0.1)) is not None:
            frame.release()
        assert "no answer in time" in str(until_lost(camera))
        server.process.send_signal(signal.SIGCONT)
        camera.open()
        take(camera).release()


def test_close_does_not_wait_for_a_silent_server() -> None:
    with serving() as server, watching(server, fragment="timeout=30") as camera:
        take(camera).release()
        server.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        camera.close()
        assert time.monotonic() - start < 15  # of the 30 s it would wait for a picture


def test_a_killed_server_is_a_lost_camera() -> None:
    with serving() as server, watching(server) as camera:
        take(camera).release()
        server.process.kill()
        until_lost(camera)
        with pytest.raises(CameraLostError):
            camera.read(0)
        with pytest.raises(CameraLostError, match="cannot connect"):
            camera.open()


def test_a_stream_that_ends_is_a_lost_camera_that_can_be_opened_again() -> None:
    with serving("--frames", "6") as server, watching(server) as camera:
        until_lost(camera)
        assert camera.open() == (PixelFormat.NV12, (160, 120))
        take(camera).release()


def test_another_size_in_mid_stream_is_refused_until_it_is_opened_again() -> None:
    with serving("--change-after", "5") as server, watching(server) as camera:
        for _ in range(2):  # it stays so
            with pytest.raises(InputError, match="320x240 instead of 160x120"):
                drain(camera)


def test_a_damaged_picture_and_what_builds_on_it_are_never_frames() -> None:
    good: list[tuple[int, int]] = []
    damaged = 0
    with serving("--damage-every", "15") as server, watching(server) as camera:
        while len(good) < 30:
            try:
                frame = take(camera)
                good.append((frame.sequence, number(frame)))
                frame.release()
            except InputError as error:
                damaged += "damaged" in str(error)
    assert damaged
    assert len({(shown - sequence) % STEPS for sequence, shown in good}) == 1


def test_damaged_pictures_that_nobody_reads_take_no_buffer_for_good() -> None:
    held: list[Frame] = []
    with serving("--fps", "100", "--damage-every", "15") as server, watching(server, buffers=3) as camera:
        while camera.facts["dropped"] < 60:
            time.sleep(0.01)
        until_s = time.monotonic() + PATIENCE_S
        while len(held) < 3 and time.monotonic() < until_s:
            with suppress(InputError):
                held.append(take(camera))
    assert len(held) == 3


def test_threads_end_with_the_camera(running: Server) -> None:
    for _ in range(3):
        with watching(running) as camera:
            take(camera).release()
    for thread in [thread for thread in threading.enumerate() if thread.name == "rtsp"]:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("user", ["driver:s3cret%23word", "driver:wrong-s3cret"])
def test_the_password_is_never_shown(user: str) -> None:
    with serving("--user", "driver:s3cret#word") as server:
        camera = RtspCamera(server.url(user), settings(), "visible")
        seen = str(camera.facts) + repr(camera) + repr(parse_source(server.url(user), "visible"))
        try:
            camera.open()
            assert "wrong" not in user
            server.process.kill()
            seen += str(until_lost(camera))
        except RigError as error:
            assert "wrong" in user
            seen += str(error) + repr(error.__cause__)
        with pytest.raises(EdgeFusionError) as caught:
            server.process.kill()
            server.process.wait()
            camera.open()
        seen += str(caught.value) + repr(caught.value.__cause__) + str(camera.facts)
        camera.close()
    assert "s3cret" not in seen
    assert "driver:***@127.0.0.1" in seen


def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/front#timeout=0.5"
        with pytest.raises(CameraLostError, match="no answer in time"):
            RtspCamera(url, settings(), "visible").open()


def test_the_other_transport_is_suggested() -> None:
    with serving("--transport", "udp") as server, pytest.raises(CameraLostError, match="#transport="):
        RtspCamera(server.url(), settings(), "visible").open()


def test_a_stream_without_video() -> None:
    with serving("--audio-only") as server, pytest.raises(RigError, match="no video"):
        RtspCamera(server.url(fragment="timeout=2"), settings(), "visible").open()


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("rtsp:front", "names no host"),
        ("rtsp://host/a#speed=2", "no option 'speed'"),
        ("rtsp://host/a#transport=quic", "tcp, udp"),
        ("rtsp://host/a#timeout=soon", "0.2 to 60"),
        ("rtsp://host/a#timeout=0", "0.2 to 60"),
    ],
)
def test_a_device_that_cannot_be_meant(device: str, words: str) -> None:
    with pytest.raises(RigError, match=words):
        RtspCamera(device, settings(), "visible")


def test_a_format_that_no_stream_has_lists_what_there_is() -> None:
    with pytest.raises(RigError, match="NV12, GREY, RGB24"):
        RtspCamera("rtsp://host/a", settings("Y16"), "thermal")


def test_controls_are_refused() -> None:
    with pytest.raises(RigError, match="no controls"):
        RtspCamera("rtsp://host/a", settings(controls={"gain": 3}), "visible")


def test_reading_before_opening() -> None:
    with pytest.raises(CameraLostError, match="not open"):
        RtspCamera("rtsp://host/a", settings(), "visible").read(0)
