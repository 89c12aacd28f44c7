"""``edgefusion build --host``: the same build on another machine.

The engine stays there, since it is bound to that machine. What comes back is what ``edgefusion build --json``
says there.
"""

from __future__ import annotations

import json
import shlex
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgefusion.core.errors import EdgeFusionError, InputError, MachineError, RunError, UsageError
from edgefusion.core.geometry import Size
from edgefusion.core.packing import pack_bundle
from edgefusion.core.signing import load_signed
from runtime.engines.base import BuildOptions
from runtime.ssh import Shell, connected

CHECK_S = 120
"""Longest silence of a check of the other side."""
FIELDS = frozenset(
    {"engine", "built", "backend", "build_s", "compute", "device", "layers", "precision", "size_px", "warnings"}
)
"""What is read of a result; see ``runtime.build.describe``."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Host:
    """Where to build.

    Attributes:
        name: [user@]host[:port]; the host may be one of ~/.ssh/config.
        identity: a private key to try before the others.
        command: what starts edgefusion there.
    """

    name: str
    identity: Path | None = None
    command: str = "edgefusion"


@dataclass(frozen=True)
class Answer:
    """What edgefusion on the other side left: exit code (-1: killed), standard output, its error in one line."""

    code: int
    out: str
    error: str


def asked_host(name: str | None, identity: Path | None, command: str | None) -> Host | None:
    """The host of the command line's options, or None: build here.

    Raises:
        UsageError: the others without ``--host``.
        InputError: no such key.
    """
    if name is None and (identity or command):
        raise UsageError("--identity and --remote-command are for --host", remedy="add --host user@rig")
    if identity and not identity.is_file():
        raise InputError("no such key", where=identity, remedy="--identity takes the file of a private key")
    return Host(name, identity, command or Host.command) if name else None


def build_there(
    host: Host,
    bundle_path: Path | None,
    device_name: str,
    *,
    ungated: bool,
    require_signature: Path | None,
    say: Say,
    **asked: Any,
) -> dict[str, Any]:
    """Build there as ``runtime.build.build_engine`` does here. The device is looked for there.

    Args:
        host: where.
        bundle_path: a bundle of this machine, the shipped one if None; it is sent.
        device_name: as that machine knows it.
        ungated: also take models that passed no quality gate.
        require_signature: public key that must have signed the bundle; asked here and there.
        say: takes what the other side says while it builds, a line at a time.
        asked: ``precision``, ``size``, ``options``, ``force`` and ``explained``.

    Returns:
        What ``edgefusion build --json`` prints there, and the ``host``.

    Raises:
        EdgeFusionError: what is wrong with the bundle or the connection; what the other side finds wrong has the class
            of its exit code.
    """
    files = _files(bundle_path, require_signature, ungated=ungated)
    words = _words(device_name, ungated=ungated, **asked)
    with connected(host.name, host.identity) as shell:
        _check(shell, host)
        with shell.folder() as folder:
            shell.send({f"{folder}/{name}": content for name, content in files.items()})
            words += [word for name in files for word in (SENT[name], f"{folder}/{name}")]
            answer = _ask(shell, host, ["build", *words, "--json"], say=say, folder=folder)
    return {"host": host.name, **_parsed(answer, host, FIELDS)}


SENT = {"bundle.efb": "--bundle", "key.pub": "--require-signature"}
"""File -> the option that names it."""


def _files(bundle_path: Path | None, key: Path | None, *, ungated: bool) -> dict[str, bytes]:
    bundle = load_signed(bundle_path, key, ungated=ungated)
    with tempfile.TemporaryDirectory() as scratch:
        packed = pack_bundle(bundle, Path(scratch) / "bundle.efb")
    return {"bundle.efb": packed, **({"key.pub": key.read_bytes()} if key else {})}


def _words(
    device_name: str,
    *,
    precision: str,
    size: Size | None,
    options: BuildOptions,
    force: bool,
    ungated: bool,
    explained: bool,
) -> list[str]:
    values = {
        "--device": device_name,
        "--precision": precision,
        "--size": f"{size[0]}x{size[1]}" if size else None,
        "--dla": options.dla,
        "--workspace": options.workspace_mb,
        "--timing-cache": options.timing_cache,
    }
    flags = {
        "--fit-every-gpu": options.fit_every_gpu,
        "--force": force,
        "--ungated": ungated,
        "--explain": explained,
    }
    words = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    return words + [name for name, wanted in flags.items() if wanted]


def _check(shell: Shell, host: Host) -> None:
    """See that edgefusion is there and has what it needs; warn if its version is another."""
    answer = _ask(shell, host, ["--version"])
    if answer.code != 0:
        raise _failure(answer, host)
    theirs, ours = answer.out.strip().rpartition(" ")[2], metadata.version("edgefusion")
    if theirs != ours:
        warnings.warn(f"{host.name} has edgefusion {theirs}, this is {ours}", stacklevel=2)
    answer = _ask(shell, host, ["doctor", "--json"])
    if answer.code == 3 and answer.out:
        _refuse_lacking(_parsed(Answer(0, answer.out, ""), host, {"findings"})["findings"], host)
    if answer.code != 0:
        raise _failure(answer, host)


def _refuse_lacking(findings: list[dict[str, Any]], host: Host) -> None:
    for finding in findings:
        if finding["needed"] and not finding["ok"]:
            what = f"{finding['name']}: {finding['detail']}"
            raise MachineError(what, where=host.name, remedy=finding["remedy"])


def _ask(shell: Shell, host: Host, words: Sequence[str], *, say: Say | None = None, folder: str = "") -> Answer:
    """Run edgefusion there. Without ``say`` it is a check: of what it says only the last line matters."""
    errors = [""]

    def hear(line: str) -> None:
        text = line.removeprefix("edgefusion: ")
        if text and (say is None or (text != line and not text.startswith("warning: "))):
            errors.append(text)
        elif text and say:
            say(f"{host.name}: {text}")

    words = [*shlex.split(host.command), *words]
    code, out = shell.run(words, hear=hear, folder=folder, timeout_s=None if say else CHECK_S)
    return Answer(code, out, errors[-1])


def _failure(answer: Answer, host: Host) -> EdgeFusionError:
    """The error that the other side ended with."""
    if answer.code in (126, 127):
        remedy = "pip install edgefusion there, or say where it is: --remote-command /path/to/bin/edgefusion"
        return MachineError(f"no command {host.command!r} there", where=host.name, remedy=remedy)
    if answer.code in (-1, 137):
        remedy = "if its memory ran out: end other programs there, or --workspace MB"
        return RunError("edgefusion was killed there", where=host.name, remedy=remedy)
    kinds: dict[int, type[EdgeFusionError]] = {2: UsageError, 3: MachineError, 4: InputError}
    text = answer.error or f"edgefusion ended with exit code {answer.code} there"
    return kinds.get(answer.code, RunError)(text, where=host.name)


def _parsed(answer: Answer, host: Host, fields: frozenset[str] | set[str]) -> dict[str, Any]:
    """The answer's JSON, which must have these fields."""
    if answer.code != 0:
        raise _failure(answer, host)
    try:
        found = json.loads(answer.out)
    except ValueError:
        found = None  # told below
    if isinstance(found, dict) and fields <= found.keys():
        return found
    remedy = "install this version of edgefusion there, and let its shell start in silence"
    raise RunError(f"no answer of edgefusion there: {answer.out[:60]!r}", where=host.name, remedy=remedy)
