"""Another machine over SSH (fabric): run commands there, send it files, leave nothing behind.

Keys and host keys are OpenSSH's: those of ~/.ssh/config, the agent and known_hosts. Nothing is asked for, and no
unknown machine is trusted.
"""

from __future__ import annotations

import io
import logging
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edgefusion.core.errors import EdgeFusionError, MachineError, RunError, UsageError
from edgefusion.core.optional import require

CONNECT_S, SILENT_MS = 15, 60_000
"""Longest wait for a connection, and for a network that has gone silent."""
OUTPUT_BYTES = 64 << 20
"""Of a command's output that may wait here while the errors beside it are read."""

KEEP = (
    'umask 077; folder=$(mktemp -d "${TMPDIR:-/tmp}/edgefusion-XXXXXXXX") || exit 1; echo "$folder"; cat > /dev/null; '
    '[ -f "$folder/pid" ] && read -r pid < "$folder/pid" && { kill -s TERM -- "-$pid" || kill -s TERM "$pid"; } '
    '2> /dev/null; rm -rf "$folder"'
)
"""Makes a private folder and waits until its input ends, as it does however the connection ends. Then ends the command
that may still run, and removes the folder."""
START = 'echo $$ > "$0/pid" && exec "$@"'
"""Runs a command under the number that ``KEEP`` looks for."""


@dataclass(frozen=True)
class Shell:
    """An open connection.

    Attributes:
        name: [user@]host[:port].
        connection: fabric's.
    """

    name: str
    connection: Any

    def run(
        self, words: Sequence[str], *, hear: Callable[[str], None], folder: str = "", timeout_s: float | None = None
    ) -> tuple[int, str]:
        """Run a command; its exit code (-1: it was killed) and standard output.

        Args:
            words: of the command.
            hear: takes its standard error, line by line as it comes.
            folder: one of ``folder()``, with whose end the command ends too.
            timeout_s: longest silence.
        """
        channel = self._start(["sh", "-c", START, folder, *words] if folder else words, timeout_s)
        for line in channel.makefile_stderr("rb"):
            hear(line.decode(errors="replace").rstrip())
        out = channel.makefile("rb").read().decode(errors="replace")
        code = channel.recv_exit_status()
        if code == -1 and not self.connection.is_connected:
            raise EOFError("the other side closed it")
        return code, out

    @contextmanager
    def folder(self) -> Iterator[str]:
        """A temporary folder there with mode 0700. It goes with everything in it, even if the connection breaks.

        Raises:
            MachineError: none can be made.
        """
        channel = self._start(["sh", "-c", KEEP], CONNECT_S)
        path = channel.makefile("rb").readline().decode(errors="replace").strip()
        if not path.startswith("/"):
            self._fail(f"no temporary folder there ({path or _text(channel)})")
        try:
            yield path
        finally:
            channel.shutdown_write()
            channel.status_event.wait(CONNECT_S)  # until it is gone

    def send(self, files: dict[str, bytes]) -> None:
        """Write files there: absolute path -> content. With a progress bar on a terminal.

        Raises:
            MachineError: no space, or no SFTP.
        """
        paramiko = require("paramiko", "remote")
        try:
            for path, content in files.items():
                with _shown(content, f"sending to {self.name}") as stream:
                    self.connection.sftp().putfo(stream, path)
        except (OSError, paramiko.SSHException, paramiko.SFTPError) as error:
            if not self.connection.is_connected:
                raise
            self._fail(f"cannot send a file there ({error})", error)

    def _start(self, words: Sequence[str], timeout_s: float | None) -> Any:
        channel = self.connection.transport.open_session(timeout=CONNECT_S)
        channel.settimeout(timeout_s)
        channel.exec_command(shlex.join(words))
        return channel

    def _fail(self, what: str, error: Exception | None = None) -> NoReturn:
        remedy = "free some space in its temporary folder; its sshd must offer SFTP, and its shell start in silence"
        raise MachineError(what, where=self.name, remedy=remedy) from error


def _text(channel: Any) -> str:
    text: str = channel.makefile_stderr("rb").read().decode(errors="replace").strip()
    return text


@contextmanager
def _shown(content: bytes, what: str) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import wrap_file

    console = Console(stderr=True)
    with wrap_file(
        io.BytesIO(content), len(content), description=what, console=console, transient=True,
        disable=not console.is_terminal,
    ) as stream:  # fmt: skip
        yield stream


@contextmanager
def connected(name: str, identity: Path | None = None) -> Iterator[Shell]:
    """Connect with keys alone.

    Args:
        name: [user@]host[:port]; the host may be one of ~/.ssh/config.
        identity: a private key to try before the others.

    Raises:
        UsageError: not such a name.
        MachineError: no fabric here, no such host, no answer, an unknown or changed host key, or no key it accepts.
        RunError: the connection broke, meanwhile or in what the caller does with it.
    """
    fabric = require("fabric", "remote")
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what it logs it raises too
    keys = {"key_filename": [str(identity)]} if identity else {}
    try:
        connection = fabric.Connection(
            name, connect_timeout=CONNECT_S, connect_kwargs={"banner_timeout": CONNECT_S, **keys}
        )
    except ValueError as error:
        raise UsageError(f"no host ({error})", where=name, remedy="--host takes [user@]host[:port]") from error
    try:
        _open(connection, name)
        yield Shell(name, connection)
    except (require("paramiko", "remote").SSHException, EOFError, OSError) as error:
        raise _failure(error, name) from error
    finally:
        connection.close()


def _open(connection: Any, name: str) -> None:
    hop = connection
    while hasattr(hop, "client"):  # those on the way too; the last may be a ProxyCommand
        _trust_known_hosts(hop, name)
        hop = hop.gateway
    connection.open()
    transport = connection.transport
    transport.default_window_size = OUTPUT_BYTES
    transport.set_keepalive(CONNECT_S)
    if isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)


def _trust_known_hosts(connection: Any, name: str) -> None:
    """Trust what OpenSSH trusts, and nothing else: fabric would add unknown keys."""
    own = connection.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts").split()
    for path in (Path(file).expanduser() for file in ("/etc/ssh/ssh_known_hosts", *own)):
        if path.is_file():
            connection.client.load_system_host_keys(str(path))
    connection.client.set_missing_host_key_policy(_Refuse(name))


@dataclass(frozen=True)
class _Refuse:
    name: str

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        what = f"unknown host key of {hostname} ({key.get_name()} {key.fingerprint})"
        remedy = f"if it is that machine's: ssh ssh://{self.name} once, or ssh-keyscan, adds it to known_hosts"
        raise MachineError(what, where=self.name, remedy=remedy)


def _failure(error: Exception, name: str) -> EdgeFusionError:
    paramiko = require("paramiko", "remote")
    no_key = (
        "no key that it accepts",
        "ssh-copy-id, or --identity KEY; one with a passphrase goes into the agent: ssh-add",
    )
    changed = "its host key is not that of known_hosts", "if it was set up anew: ssh-keygen -R, then ssh to it once"
    kinds: tuple[tuple[type[Exception], tuple[str, str]], ...] = (
        (paramiko.BadHostKeyException, changed),
        (paramiko.AuthenticationException, no_key),
        (socket.gaierror, ("no such host", "check its name, or give its address")),
        (TimeoutError, ("no answer in time", "see that it is on and can be reached")),
        (paramiko.ssh_exception.NoValidConnectionsError, ("no SSH server answers", "see that sshd runs, and the port")),
    )
    if str(error).startswith("No authentication methods"):  # no key at all
        return MachineError(no_key[0], where=name, remedy=no_key[1])
    for kind, (what, remedy) in kinds:
        if isinstance(error, kind):
            return MachineError(what, where=name, remedy=remedy)
    reason = str(error) or type(error).__name__
    return RunError(f"the connection broke ({reason})", where=name, remedy="nothing stays there; run it again")
