"""Telling systemd how the run fares, as sd_notify(3) does; without systemd nothing happens."""

from __future__ import annotations

import os
import socket
from functools import lru_cache

from runtime import log

TIMEOUT_S = 1.0
"""A service manager that does not read its socket must not hold up whoever tells it something."""


def notify(*lines: str) -> None:
    """Send assignments such as ``READY=1`` or ``STATUS=...`` to ``NOTIFY_SOCKET``.

    That nobody listens there is logged once, and is no error: the run does not depend on it.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.settimeout(TIMEOUT_S)
        try:
            speaker.sendto("\n".join(lines).encode(), _unix(address))
        except OSError as error:
            _complain(address, error.strerror or str(error))


def _unix(address: str) -> str:
    """The address as the system takes it: an abstract one begins with @ in the environment."""
    return "\0" + address[1:] if address.startswith("@") else address


@lru_cache(maxsize=16)  # once for each reason, not at every beat of the watchdog
def _complain(address: str, why: str) -> None:
    log.event("systemd", state="unreachable", socket=address, why=why)
