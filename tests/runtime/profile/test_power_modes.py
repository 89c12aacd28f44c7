from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nvpmodels import CONF, FakeNvpmodel
from waiting import until

from edgefusion.core.errors import InputError, MachineError, RunError, UsageError
from runtime.profile.power_modes import PowerMode, PowerModes, parse_modes

HOLDER = """
import sys, time
from pathlib import Path
from runtime.profile.power_modes import PowerModes
with PowerModes(Path(sys.argv[1])) as modes:
    modes.set(modes.named("MAXN_SUPER"))
    print(modes.current().name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def nvpmodel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvpmodel:
    fake = FakeNvpmodel(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{fake.folder}{os.pathsep}{os.environ['PATH']}")
    return fake


def test_the_modes_are_those_of_the_file() -> None:
    assert parse_modes(CONF) == [PowerMode(0, "MAXN_SUPER"), PowerMode(2, "15W"), PowerMode(3, "MODE_30W_REBOOT")]
    with pytest.raises(InputError, match="no power mode"):
        parse_modes("< PM_CONFIG DEFAULT=2 >")


def test_a_mode_is_set_and_what_was_is_put_back(nvpmodel: FakeNvpmodel) -> None:
    with PowerModes(nvpmodel.conf) as modes:
        assert modes.current() == PowerMode(2, "15W")
        modes.set(modes.named("MAXN_SUPER"))
        assert (modes.current().name, nvpmodel.number) == ("MAXN_SUPER", 0)
    assert nvpmodel.number == 2


def test_it_is_put_back_after_an_error(nvpmodel: FakeNvpmodel) -> None:
    with pytest.raises(ValueError, match="oh"), PowerModes(nvpmodel.conf) as modes:
        modes.set(modes.named("0"))
        raise ValueError("oh")
    assert nvpmodel.number == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_is_put_back_when_the_process_is_killed(nvpmodel: FakeNvpmodel, number: int) -> None:
    command = [sys.executable, "-c", HOLDER, str(nvpmodel.conf)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "MAXN_SUPER\n"
        assert nvpmodel.number == 0
        os.killpg(process.pid, number)  # all that a terminal or a service manager would reach
        process.wait(30)
        until(lambda: nvpmodel.number == 2, 30)


def test_a_mode_that_wants_a_reboot_is_declined_and_said(nvpmodel: FakeNvpmodel) -> None:
    with PowerModes(nvpmodel.conf) as modes, pytest.raises(MachineError, match=r"stays 15W.*need a reboot"):
        modes.set(modes.named("MODE_30W_REBOOT"))
    assert "answered no" in nvpmodel.calls


def test_what_is_not_permitted_is_said(nvpmodel: FakeNvpmodel) -> None:
    with (
        pytest.raises(MachineError, match=r"stays 15W \(NVPM ERROR: permission denied\).*as root"),
        PowerModes(nvpmodel.conf) as modes,
    ):
        nvpmodel.refuse()
        modes.set(modes.named("MAXN_SUPER"))


def test_a_mode_that_cannot_be_put_back_is_said(nvpmodel: FakeNvpmodel, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="sudo nvpmodel -m 2"), PowerModes(nvpmodel.conf) as modes:
        modes.set(modes.named("MAXN_SUPER"))
        nvpmodel.refuse()
    assert "permission denied" in capfd.readouterr().err


def test_a_mode_that_only_a_reboot_would_put_back_is_said(nvpmodel: FakeNvpmodel) -> None:
    (nvpmodel.folder / "mode").write_text("3\n")
    with pytest.raises(RunError, match=r"stays MAXN_SUPER.*sudo nvpmodel -m 3"), PowerModes(nvpmodel.conf) as modes:
        modes.set(modes.named("MAXN_SUPER"))
    assert nvpmodel.number == 0


def test_the_first_error_is_not_hidden_by_a_mode_that_is_not_put_back(
    nvpmodel: FakeNvpmodel, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="oh"), PowerModes(nvpmodel.conf) as modes:
        modes.set(modes.named("MAXN_SUPER"))
        nvpmodel.refuse()
        raise ValueError("oh")
    assert "not put back" in caplog.text
    assert "sudo nvpmodel -m 2" in caplog.text


def test_an_unknown_mode_names_those_there_are(nvpmodel: FakeNvpmodel) -> None:
    with pytest.raises(UsageError, match="MAXN_SUPER, 15W"):
        PowerModes(nvpmodel.conf).named("50W")


def test_a_mode_that_cannot_be_read_is_never_changed(nvpmodel: FakeNvpmodel) -> None:
    (nvpmodel.folder / "mode").write_text("7\n")
    with pytest.raises(MachineError, match="does not name a mode"), PowerModes(nvpmodel.conf):
        pass
    assert set(nvpmodel.calls) == {"-q"}


def test_where_there_is_no_nvpmodel_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="nvpmodel is not there"):
        PowerModes()
