"""``edgefusion build --host``, through a real OpenSSH server on loopback."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bundles import small_bundle
from click.testing import Result
from sshd import Sshd, know, make_key, serving

ROOT = Path(__file__).parents[2]
SMALL = ("--size", "96x64")

pytest.importorskip("fabric", reason="fabric comes with [remote]")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def there(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The server, with this process in the client's home."""
    monkeypatch.setenv("HOME", str(server.home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return server


@pytest.fixture
def rig(there: Sshd, tmp_path: Path) -> Callable[..., list[object]]:
    """Words that build there, where edgefusion is this one with a cache of its own, perhaps after a line of shell."""

    def words(*more: object, before: str = "", device: str = "cpu") -> list[object]:
        return ["build", "--device", device, "--host", there.name, "--remote-command", script(tmp_path, before), *more]

    return words


def script(place: Path, before: str = "") -> Path:
    path = place / "edge fusion"  # a name that must be quoted
    environment = f"EDGEFUSION_CACHE={place}/cache PYTHONPATH={ROOT}"
    path.write_text(f'#!/bin/sh\n{before}\n{environment} exec {sys.executable} -m edgefusion.cli "$@"\n')
    path.chmod(0o755)
    return place / "'edge fusion'"


def refused(result: Result, there: Sshd, code: int, message: str) -> None:
    """One line, the right exit code, and nothing left there."""
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stderr.startswith(f"edgefusion: {there.name}: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
    assert not [*there.temporary.iterdir()]


def test_the_engine_stays_there_and_the_facts_come_back(edgefusion, there: Sshd, rig, tmp_path: Path) -> None:
    result = edgefusion(*rig(*SMALL, "--explain", "--json"))
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["host"], record["device"], record["size_px"]) == (there.name, "cpu", [96, 64])
    assert all(timing["median"] > 0 for timing in record["timings"].values())
    assert sum(layer["share"] for layer in record["layers"]) == pytest.approx(1, abs=0.01)
    assert (tmp_path / "cache" / "engines" / record["key"] / "engine.json").exists()
    assert Path(record["engine"]).is_relative_to(tmp_path / "cache")
    assert result.stderr == ""
    assert not [*there.temporary.iterdir()]
    again = edgefusion(*rig(*SMALL))
    assert "in the cache already\n" in again.stdout
    assert again.stdout.endswith(f"engine: {record['engine']} on {there.name}\n")


def test_every_option_goes_with_it(edgefusion, rig, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "small")
    edgefusion("bundle", "keygen", "--out", tmp_path / "key")
    edgefusion("bundle", "sign", bundle.path, "--key", tmp_path / "key.pem")
    signed = ("--bundle", bundle.path, "--require-signature", tmp_path / "key.pub", "--precision", "fp32")
    words = rig(*signed, "--force", "--workspace", 64, "--ungated", "--fit-every-gpu", before='echo "$@" >&2')
    result = edgefusion(*words)
    assert (result.exit_code, "are for NVIDIA devices" in result.stderr) == (3, True)
    sent = result.stderr.split()
    assert sent[sent.index("--precision") + 1] == "fp32"
    assert sent[sent.index("--workspace") + 1] == "64"
    assert sent[sent.index("--require-signature") + 1].endswith("/key.pub")
    assert {"--force", "--ungated", "--fit-every-gpu", "--json"} <= {*sent}


def test_what_it_says_meanwhile_is_passed_on(edgefusion, there: Sshd, rig) -> None:
    result = edgefusion(*rig(*SMALL, before="echo edgefusion: warning: slow disk >&2; echo tactic 3 >&2"))
    assert result.exit_code == 0, result.output
    assert result.stderr == f"{there.name}: warning: slow disk\n{there.name}: tactic 3\n"


def test_its_own_errors_come_back_with_their_exit_codes(edgefusion, there: Sshd, rig, tmp_path: Path) -> None:
    refused(edgefusion(*rig(device="orin-9")), there, 2, "unknown device 'orin-9'; did you mean orin")
    refused(edgefusion(*rig(device="orin")), there, 3, "'orin' means ")
    lacking = rig("--bundle", small_bundle(tmp_path / "small").path, "--precision", "int8")
    refused(edgefusion(*lacking), there, 4, "bundle.efb: no int8 model")
    killed = "case $1 in build) kill -9 $$;; esac"
    refused(edgefusion(*rig(before=killed)), there, 5, "edgefusion was killed there; if its memory ran out")


def test_what_is_missing_there_is_told_before_anything_is_sent(edgefusion, there: Sshd, rig, tmp_path: Path) -> None:
    finding = {"name": "OpenVINO", "ok": False, "detail": "gone", "remedy": "install it", "needed": True}
    (tmp_path / "doctor.json").write_text(json.dumps({"findings": [finding]}))
    lacking = f"case $1 in doctor) cat {tmp_path}/doctor.json; exit 3;; build) exit 9;; esac"
    refused(edgefusion(*rig(before=lacking)), there, 3, "OpenVINO: gone; install it")
    refused(edgefusion(*rig(before="exit 127")), there, 3, "pip install edgefusion there, or say where it is")
    silent = "case $1 in build) echo welcome; exit;; esac"
    refused(edgefusion(*rig(before=silent)), there, 5, "no answer of edgefusion there: 'welcome")


def test_edgefusion_is_not_there(edgefusion, there: Sshd) -> None:
    words = ("build", "--host", there.name, "--remote-command", "/opt/none/edgefusion")
    refused(edgefusion(*words), there, 3, "no command '/opt/none/edgefusion' there; pip install edgefusion there")


def test_another_version_is_a_warning(there: Sshd, rig) -> None:
    older = 'case $1 in --version) echo "edgefusion, version 0.0.9"; exit;; esac'
    done = subprocess.run(command(rig(*SMALL, before=older)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"edgefusion: warning: {there.name} has edgefusion 0.0.9, this is " in done.stderr


def command(words: list[object]) -> list[str]:
    return [sys.executable, "-m", "edgefusion.cli", *map(str, words)]


def test_an_unknown_or_changed_host_key_is_refused_and_not_learned(edgefusion, there: Sshd, rig, tmp_path) -> None:
    known = there.known_hosts.read_text()
    try:
        there.known_hosts.write_text("")
        refused(edgefusion(*rig()), there, 3, f"ssh ssh://{there.name} once, or ssh-keyscan")
        assert there.known_hosts.read_text() == ""
        know(there.known_hosts, there.name.partition(":")[2], make_key(tmp_path / "other").with_suffix(".pub"))
        refused(edgefusion(*rig()), there, 3, "its host key is not that of known_hosts")
    finally:
        there.known_hosts.write_text(known)


def test_keys_that_do_not_open_it(edgefusion, there: Sshd, rig, tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / "stranger"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(there.known_hosts.read_text())
    monkeypatch.setenv("HOME", str(home))
    refused(edgefusion(*rig()), there, 3, "no key that it accepts; ssh-copy-id, or --identity KEY")
    refused(edgefusion(*rig("--identity", make_key(tmp_path / "wrong"))), there, 3, "no key that it accepts")
    refused(edgefusion(*rig("--identity", make_key(tmp_path / "locked", "secret"))), there, 3, "no key that it accepts")
    missing = edgefusion(*rig("--identity", tmp_path / "none"))
    assert (missing.exit_code, "none: no such key" in missing.stderr) == (4, True)
    right = edgefusion(*rig(*SMALL, "--identity", there.home / ".ssh" / "id_ed25519"))
    assert right.exit_code == 0, right.output


def test_hosts_of_the_ssh_configuration(edgefusion, there: Sshd, rig, monkeypatch, tmp_path: Path) -> None:
    address, _, port = there.name.partition(":")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "known").write_text(there.known_hosts.read_text())
    key = there.home / ".ssh" / "id_ed25519"
    (tmp_path / ".ssh" / "config").write_text(
        f"Host orin-rig\n HostName {address}\n Port {port}\n IdentityFile {key}\n UserKnownHostsFile {tmp_path}/known\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["orin-rig" if word == there.name else word for word in rig(*SMALL, "--json")]
    result = edgefusion(*words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["host"] == "orin-rig"


def test_a_host_on_the_way_must_be_known_too(edgefusion, there: Sshd, rig, monkeypatch, tmp_path: Path) -> None:
    home = Path(shutil.copytree(there.home, tmp_path / "home"))
    address, _, port = there.name.partition(":")
    (home / ".ssh" / "config").write_text(f"Host {address}\n ProxyJump localhost:{port}\n")
    monkeypatch.setenv("HOME", str(home))
    refused(edgefusion(*rig()), there, 3, f"unknown host key of [localhost]:{port}")
    with open(home / ".ssh" / "known_hosts", "a") as known:
        known.write(there.known_hosts.read_text().replace(address, "localhost"))
    result = edgefusion(*rig(*SMALL))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("127.0.0.1:{closed}", 3, "no SSH server answers; see that sshd runs"),
        ("127.0.0.1:{deaf}", 5, "the connection broke"),
        ("nowhere.invalid", 3, "no such host; check its name"),
        ("rig:ssh", 2, "--host takes [user@]host[:port]"),
    ],
)
def test_hosts_that_cannot_be_reached(edgefusion, there: Sshd, monkeypatch, name: str, code: int, message: str) -> None:
    monkeypatch.setattr("runtime.ssh.CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        name = name.format(deaf=deaf.getsockname()[1], closed=closed.getsockname()[1])
        result = edgefusion("build", "--host", name)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stderr.startswith(f"edgefusion: {name}: ")
    assert result.stderr.count("\n") == 1


def test_a_server_without_sftp(edgefusion, tmp_path: Path, rig, monkeypatch) -> None:
    with serving(tmp_path / "bare", sftp="/none") as bare:
        monkeypatch.setenv("HOME", str(bare.home))
        words = ["build", "--device", "cpu", "--host", bare.name, "--remote-command", script(tmp_path)]
        refused(edgefusion(*words), bare, 3, "cannot send a file there")
        bare.temporary.rmdir()
        result = edgefusion(*words)
    assert (result.exit_code, "no temporary folder there (" in result.stderr) == (3, True), result.output


def test_no_space_there(edgefusion, tmp_path: Path, monkeypatch) -> None:
    with serving(tmp_path / "little", disk_kib=16) as little:
        monkeypatch.setenv("HOME", str(little.home))
        words = ["build", "--device", "cpu", "--host", little.name, "--remote-command", script(tmp_path)]
        refused(edgefusion(*words), little, 3, "cannot send a file there (")


def waiting(place: Path) -> str:
    """Shell that makes a build wait, under the number in ``place/build``."""
    return f"case $1 in build) echo $$ > {place}/build; exec sleep 60;; esac"


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def gone(place: Path, there: Sshd) -> bool:
    return not Path(f"/proc/{(place / 'build').read_text().strip()}").exists() and not [*there.temporary.iterdir()]


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [("cut", 5, "the connection broke"), ("interrupt", 1, "Aborted!"), ("kill", -9, "")],
)
def test_whatever_ends_it_nothing_stays_there(there: Sshd, rig, tmp_path, end: str, code: int, message: str) -> None:
    running = subprocess.Popen(command(rig(before=waiting(tmp_path))), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (tmp_path / "build").exists() and (tmp_path / "build").read_text() != "")
    [folder] = there.temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    ends = {"cut": there.cut, "interrupt": lambda: running.send_signal(signal.SIGINT), "kill": running.kill}
    ends[end]()
    _, said = running.communicate(timeout=30)
    assert (running.returncode, message in said) == (code, True), said
    assert said.strip().count("\n") == 0
    wait_until(lambda: gone(tmp_path, there))


def test_the_line_of_the_readme(edgefusion, there: Sshd, tmp_path: Path, monkeypatch) -> None:
    [line] = re.findall(r"^edgefusion (.* --host .*?) *#", (ROOT / "README.md").read_text(), re.MULTILINE)
    known = {"orin": "cpu", "user@rig": f"{os.environ.get('USER', '')}@{there.name}".lstrip("@")}
    words = [known.get(word, word) for word in shlex.split(line)]
    result = edgefusion(*words, "--remote-command", script(tmp_path))
    assert result.exit_code == 0, result.output


def test_options_without_a_host_and_a_machine_without_fabric(edgefusion, monkeypatch) -> None:
    alone = edgefusion("build", "--remote-command", "edgefusion")
    assert (alone.exit_code, "add --host user@rig" in alone.stderr) == (2, True)
    monkeypatch.setitem(sys.modules, "fabric", None)
    result = edgefusion("build", "--host", "rig")
    assert (result.exit_code, "pip install 'edgefusion[remote]'" in result.stderr) == (3, True)
