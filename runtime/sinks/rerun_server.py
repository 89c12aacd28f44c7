"""Rerun's server, a process of its own: in this one it would listen to the whole network."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from edgefusion.core.errors import MachineError
from edgefusion.core.optional import require

GRPC_AFTER_WEB = 786
"""Frames go to the port this far above the browser's: 9876 and 9090 are Rerun's own."""

MEMORY = "200MB"
"""What the server keeps for a browser that comes late."""

PATIENCE_S = 30.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class RerunServer:
    """Serves the viewer to browsers, and takes what is to be shown. Ends with the thread that makes it, at the latest.

    Args:
        host: the address to listen at; 127.0.0.1 is this machine only.
        port: of the viewer's page.

    Attributes:
        url: the page.
        grpc_url: where frames go.

    Raises:
        MachineError: rerun-sdk is not installed, a port is taken, or the server does not start.
    """

    def __init__(self, host: str, port: int) -> None:
        program = Path(str(require("rerun_cli", "view").__file__)).with_name("rerun")
        ports = (port, port + GRPC_AFTER_WEB)
        for each in ports:
            _check_free(host, each)
        reached = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 (asked for)
        self.grpc_url = f"rerun+http://{reached}:{ports[1]}/proxy"
        self.url = f"http://{reached}:{port}/?url=rerun%2Bhttp%3A%2F%2F{reached}%3A{ports[1]}%2Fproxy"
        self._home = tempfile.TemporaryDirectory(prefix="edgefusion-rerun-")
        try:
            self._process = self._started(program, host, ports)
            self._wait(reached, ports)
        except BaseException:
            self._home.cleanup()
            raise

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._home.cleanup()

    def _started(self, program: Path, host: str, ports: tuple[int, int]) -> subprocess.Popen[bytes]:
        home = self._home.name  # with settings of its own: it would report its use to its makers
        environment = {**os.environ, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}
        quiet = subprocess.DEVNULL
        try:
            subprocess.run([program, "analytics", "disable"], env=environment, stdout=quiet, stderr=quiet, check=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise MachineError(
                f"Rerun's program does not run ({error})", where=program, remedy="pip install 'edgefusion[view]'"
            ) from error
        words = ["--serve-web", "--bind", host, "--server-memory-limit", MEMORY]
        words += ["--web-viewer-port", str(ports[0]), "--port", str(ports[1])]
        with self._log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603
                [program, *words], env=environment, stdin=quiet, stdout=log, stderr=log, preexec_fn=_die_with_parent
            )

    def _wait(self, host: str, ports: tuple[int, int]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not all(_answers(host, port) for port in ports):
            if self._process.poll() is not None or time.monotonic() > end_s:
                self._process.kill()
                self._process.wait()
                lines = self._log.read_text(errors="replace").strip().splitlines()
                raise MachineError(f"Rerun's server does not start ({lines[-1] if lines else 'it says nothing'})")
            time.sleep(0.05)

    @property
    def _log(self) -> Path:
        return Path(self._home.name) / "log"


def _die_with_parent() -> None:
    """Between fork and exec: the server ends when this process does, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _check_free(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        place = f"{host}:{port}"
        raise MachineError(
            f"cannot listen ({reason})", where=place, remedy="name another, as in rerun:127.0.0.1:9191"
        ) from error


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
