"""The service of jetson-stats, as its systemd unit starts it. Run where /sys is a Jetson's (jetson_sysfs.py)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

SOCKET = Path("/run/jtop.sock")
START_S = 60.0
SERVE = "from jtop.service import JtopServer; JtopServer(force=True).loop_for_ever()"


class Service:
    """Started and ready; a process group of its own, because the service is several processes."""

    def __init__(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE], start_new_session=True, stdout=quiet, stderr=quiet
        )
        deadline = time.monotonic() + START_S
        while not _listens():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("the jtop service did not start")
            time.sleep(0.1)

    def freeze(self) -> None:
        """It is there, and says nothing any more."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """As when it crashes: its socket stays behind."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _listens() -> bool:
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(str(SOCKET))
        except OSError:
            return False
    return True
