from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefusion.core.errors import MachineError
from runtime import systemd


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The other end of NOTIFY_SOCKET, as systemd opens it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edgefusion-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0", 1))
        listener.settimeout(5)
        yield listener


def test_systemd_hears_every_line_of_a_notification(manager: socket.socket) -> None:
    systemd.notify("READY=1", "STATUS=front: running, 30.0 frames per second")
    assert manager.recv(4096) == b"READY=1\nSTATUS=front: running, 30.0 frames per second"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")


def test_a_silent_service_manager_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with caplog.at_level("INFO", logger="edgefusion"):
        systemd.notify("WATCHDOG=1")
        systemd.notify("WATCHDOG=1")
    [line] = caplog.messages
    assert "state=unreachable" in line
    assert "No such file" in line


@pytest.mark.parametrize(
    ("usec", "process", "expected"),
    [("10000000", "self", 10.0), ("500000", None, 0.5), ("500000", "1", None), (None, None, None)],
)
def test_the_watchdog_is_for_this_process_only(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, process: str | None, expected: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if process == "self" else process)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_s() == expected


def test_a_watchdog_period_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "often")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with pytest.raises(MachineError, match="WATCHDOG_USEC"):
        systemd.watchdog_s()
