from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

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
