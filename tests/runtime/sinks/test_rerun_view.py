"""The live view, with Rerun's real server and a real client of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgefusion.core.errors import EdgeFusionError, MachineError, RunError, UsageError
from edgefusion.core.frames import REGULAR, Flag, Frame, FramePair, FusedInfo, PixelFormat
from runtime.sinks import open_sink
from runtime.sinks.rerun_server import GRPC_AFTER_WEB
from runtime.sinks.rerun_view import RerunSink

RGB = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.fixture
def program() -> Path:
    """Rerun's own program."""
    return Path(str(pytest.importorskip("rerun_cli").__file__)).with_name("rerun")


@pytest.fixture
def port() -> Iterator[int]:
    """One that is free, and so is the one that goes with it."""
    for candidate in range(20_000, 30_000, 10):
        try:
            for each in (candidate, candidate + GRPC_AFTER_WEB, candidate + 1):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        yield candidate
        return


def info(number: int, flags: Flag = REGULAR) -> FusedInfo:
    return FusedInfo(number, time.monotonic_ns(), "monotonic", number, number, 3_000_000, flags)


def inputs(visible: PixelFormat, thermal: PixelFormat) -> FramePair:
    frames = []
    for kind in (visible, thermal):
        pixels = np.random.default_rng(1).integers(0, 200, kind.array_shape(64, 48), kind.dtype)
        frames.append(Frame(pixels, kind, 0, "monotonic", 0))
    return FramePair(*frames)


def rows(program: Path, path: Path, home: Path) -> dict[str, int]:
    """How often something was logged to each entity of a file, as Rerun's program counts it."""
    quiet = {**os.environ, "XDG_CONFIG_HOME": str(home)}
    call = [program, "rrd", "print", "-v", path]
    said = subprocess.run(call, capture_output=True, text=True, check=True, env=quiet, timeout=60).stdout
    return {name: said.count(f"/{name}") for name in ("fused", "visible", "thermal", "flags", "times/thermal_age_ms")}


def test_a_saved_view_holds_images_times_and_flags(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "view.rrd"
    sink = open_sink(f"rerun:save:{path}", fps=30)
    assert sink.wants_inputs
    kinds = [
        (PixelFormat.NV12, PixelFormat.Y16),
        (PixelFormat.UYVY, PixelFormat.Y16_BE),
        (PixelFormat.RGB24, PixelFormat.GREY),
    ]
    for number, pair in enumerate(kinds):
        sink.write(RGB, info(number), inputs(*pair))
    sink.write(RGB, info(3, Flag.THERMAL_LOST), None)
    sink.close()
    found = rows(program, path, tmp_path)
    assert all(found.values()), found


def test_a_browser_gets_the_page_and_a_client_every_frame(program: Path, port: int, tmp_path: Path) -> None:
    sink = RerunSink(f"127.0.0.1:{port}")
    try:
        with urllib.request.urlopen(sink.url, timeout=10) as page:  # noqa: S310
            assert b"<html" in page.read()
        for number in range(5):
            sink.write(RGB, info(number), None)
        saved = tmp_path / "seen.rrd"
        call = [program, f"rerun+http://127.0.0.1:{port + GRPC_AFTER_WEB}/proxy", "--save", saved]
        call += ["--bind", "127.0.0.1", "--port", str(port + 1)]
        quiet = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
        with subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet) as client:
            for number in range(5, 2000):
                sink.write(RGB, info(number), None)
                time.sleep(0.01)
                if saved.exists() and saved.stat().st_size > 30_000:
                    break
            client.terminate()
        assert rows(program, saved, tmp_path)["fused"]
    finally:
        sink.close()


def listening(port: int) -> set[str]:
    """Addresses, as the kernel writes them, at which somebody listens to a port."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == "0A":
                found.add(address)
    return found


def test_only_this_machine_can_look(program: Path, port: int) -> None:
    sink = RerunSink(f":{port}")
    loopback = {f"{int.from_bytes(socket.inet_aton('127.0.0.1'), sys.byteorder):08X}"}
    try:
        assert listening(port) == listening(port + GRPC_AFTER_WEB) == loopback
    finally:
        sink.close()
    assert listening(port) == set()


def test_a_port_that_is_taken(program: Path, port: int) -> None:
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(MachineError, match=r"cannot listen .*in use.*name another"),
    ):
        RerunSink(f"127.0.0.1:{port}")


def test_a_server_that_has_ended_is_an_error(program: Path, port: int) -> None:
    sink = RerunSink(f"127.0.0.1:{port}")
    sink.write(RGB, info(0), None)
    server = sink._server
    assert server is not None
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    with pytest.raises(RunError, match="Rerun's server has ended"):
        sink.write(RGB, info(1), None)
    sink.abandon()


def test_the_server_ends_with_a_killed_process(program: Path, port: int) -> None:
    script = f"""import time
from runtime.sinks.rerun_view import RerunSink
sink = RerunSink(":{port}")
print(1, flush=True)
time.sleep(60)"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert listening(port)
        process.kill()
    for _ in range(300):
        if not listening(port):
            break
        time.sleep(0.1)
    assert not listening(port)


@pytest.mark.parametrize(
    ("address", "kind", "says"),
    [
        ("save:view.png", UsageError, "end its name in .rrd"),
        ("save:/no/such/folder/view.rrd", MachineError, "cannot be written"),
        ("127.0.0.1:web", UsageError, "give HOST:PORT"),
        ("192.0.2.1:9090", MachineError, "192.0.2.1:9090: cannot listen"),
    ],
)
def test_bad_addresses(program: Path, address: str, kind: type[EdgeFusionError], says: str) -> None:
    with pytest.raises(kind, match=says):
        RerunSink(address)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MachineError, match=r"pip install 'edgefusion\[view\]'"):
        open_sink("rerun:", fps=30)
