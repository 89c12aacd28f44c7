"""A real OpenSSH server on loopback, with keys and folders of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")

CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/home/.ssh/id_ed25519.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
Subsystem sftp {sftp}
SetEnv TMPDIR={folder}/tmp
"""


@dataclass(frozen=True)
class Sshd:
    """The server.

    Attributes:
        name: what to give as ``--host``.
        folder: with ``host.pub``, its key; ``tmp``, its temporary folder; ``home``, the client's home, whose
            ``.ssh`` has a key that it accepts and knows it.
        process: the one that listens.
    """

    name: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh" / "known_hosts"

    def cut(self) -> None:
        """End every connection, at once and without a word; what runs in them goes on."""
        for process in [pid for pid in _descendants(self.process.pid) if _name(pid).startswith("sshd")]:
            os.kill(process, signal.SIGKILL)


@contextmanager
def serving(folder: Path, *, sftp: str = "internal-sftp", disk_kib: int = 0) -> Iterator[Sshd]:
    """Run it in a folder, or skip the test.

    Args:
        folder: to make.
        sftp: what serves SFTP.
        disk_kib: size of a disk for its temporary folder, which this process then does not see; 0 for none.
    """
    if SSHD is None:
        pytest.skip("no sshd here: apt install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks up its unprivileged half
    for part in ("tmp", "home/.ssh"):
        (folder / part).mkdir(parents=True)
    make_key(folder / "host")
    make_key(folder / "home" / ".ssh" / "id_ed25519")
    port = _free_port()
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder, sftp=sftp))
    know(folder / "home" / ".ssh" / "known_hosts", port, folder / "host.pub")
    before = _on_a_disk(folder / "tmp", disk_kib) if disk_kib else []
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([*before, SSHD, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        _wait_for(port, process, folder / "log")
        yield Sshd(f"127.0.0.1:{port}", folder, process)
    finally:
        process.terminate()
        process.wait()


def make_key(path: Path, passphrase: str = "") -> Path:
    """A pair of keys: ``path`` and ``path.pub``."""
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(words, check=True)
    return path


def know(known_hosts: Path, port: int | str, key: Path) -> None:
    """Make that file say that loopback's port has this public key."""
    known_hosts.write_text(f"[127.0.0.1]:{port} {key.read_text()}")


def _on_a_disk(place: Path, size_kib: int) -> list[str]:
    """Words that run a command with a disk of that size at ``place``, or a skip."""
    mount = f'mount -t tmpfs -o size={size_kib}k none "{place}" && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip("this sandbox does not allow mounting")
    return words


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _descendants(pid: int) -> list[int]:
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(found for child in children for found in _descendants(child))]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
