"""The power monitors of a Jetson through jtop, the service of jetson-stats (``edgefusion[jetson]``, AGPL-3.0).

For where the kernel's files need root, or a container lacks them: the service reads them, this is its client. It is
slower (0.5 s at best: shorter intervals are unstable on real boards) and its own ``avg`` is no mean, so it is not used.
"""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from pathlib import Path
from typing import Any

from edgefusion.core.errors import MachineError
from edgefusion.core.optional import require
from runtime.power.base import Reading
from runtime.power.rails import layout_of
from runtime.power.remarks import Remarks

SOCKET = "run/jtop.sock"
INTERVAL_S = 0.5
PATIENCE_INTERVALS = 3
SILENT_S = 5.0


class JtopMeter:
    """A client that connects anew when the service has stopped and is back."""

    name = "jtop"
    averages = False

    def __init__(self, path: Path) -> None:
        """``path``: the service's socket.

        Raises:
            MachineError: it does not answer, or is of another version than the library.
        """
        self._path = path
        self.remarks = Remarks()
        self._known: dict[str, None] = {}
        self.layout = layout_of(self._known)
        self._arrived = threading.Condition()
        self._latest: Reading | None = None
        self._heard = time.monotonic()
        self._client: Any = self._connect()
        self.interval_s = float(self._client.interval)  # another client may have set the service's

    def rails(self) -> tuple[str, ...]:
        """Rails that it knows now."""
        return tuple(self._known)

    def read(self) -> Reading:
        """What the service sent last; waits for it for a few intervals."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._latest is not None, PATIENCE_INTERVALS * self.interval_s)
            latest, self._latest = self._latest, None
        if latest is None:
            self._see_to_service()
            return Reading(time.monotonic_ns(), {})
        self._heard = time.monotonic()
        self._known |= dict.fromkeys(latest.mw)
        self.layout = layout_of(self._known)
        return latest

    def close(self) -> None:
        """Leave the service."""
        if self._client is not None:
            self._client.close()
            self._client.join(PATIENCE_INTERVALS * self.interval_s)

    def _receive(self, client: Any) -> None:
        """Called by the client's thread whenever the service has sent something."""
        reading = Reading(time.monotonic_ns(), _milliwatts(client.power))
        with self._arrived:
            self._latest = reading
            self._arrived.notify_all()

    def _see_to_service(self) -> None:
        """It said nothing: give it up if it is gone, and connect again once it is back."""
        if self._client is not None:
            why = _failure(self._client)
            if why is None and time.monotonic() - self._heard < SILENT_S:
                return
            self.remarks.add(f"the jtop service stopped: {why or 'it says nothing'}")
            self._client.close()
            self._client = None
        if not _listens(self._path):
            return
        try:
            self._client = self._connect()
        except MachineError as error:
            self.remarks.add(str(error))

    def _connect(self) -> Any:
        self._heard = time.monotonic()
        client = require("jtop", "jetson").jtop(interval=INTERVAL_S)
        client.attach(self._receive)
        try:
            client.start()
        except Exception as error:  # the client passes on whatever its service, pickle and sockets raise
            raise MachineError(
                f"jtop does not connect: {str(error).strip() or type(error).__name__}",
                where=self._path,
                remedy="systemctl restart jtop; service and library must be of one version",
            ) from error
        return client


def open_meter(root: Path) -> JtopMeter:
    """The meter behind this machine's jtop service.

    Raises:
        MachineError: jetson-stats is not installed, its service does not run, or it has no power monitor.
    """
    path = root / SOCKET
    if not path.exists():
        raise MachineError("no jtop service", where=path, remedy="on a Jetson: pip install 'edgefusion[jetson]'")
    if importlib.util.find_spec("jtop") is None:
        raise MachineError("there is a jtop service, but no jetson-stats", remedy="pip install 'edgefusion[jetson]'")
    meter = JtopMeter(path)
    if meter.read().mw:
        return meter
    meter.close()
    raise MachineError("jtop's service knows no power monitor", where=path)


def _milliwatts(power: dict[str, Any]) -> dict[str, float]:
    """By rail; jtop takes the rail that is the total out of ``rail``. A sum of its own making is left out."""
    mw = {name: float(rail["power"]) for name, rail in power.get("rail", {}).items()}
    total = power.get("tot", {})
    if "name" in total:
        mw[total["name"]] = float(total["power"])
    return mw


def _failure(client: Any) -> str | None:
    """Why the client's thread has ended, or None if it has not."""
    try:
        client.ok(spin=True)
    except Exception as error:  # it raises again what ended its thread, whatever that was
        return str(error).strip() or type(error).__name__
    return None if client.is_alive() else "its client ended"


def _listens(path: Path) -> bool:
    """Whether anyone is behind the socket; a client of jetson-stats is too dear to try it with."""
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(str(path))
        except OSError:
            return False
    return True
