"""``edgefusion profile``: every combination once, whatever becomes of some of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import small_bundle
from click.testing import Result
from nvpmodels import FakeNvpmodel
from rig_files import write_rig
from waiting import until

from runtime.profile import job, power_modes
from runtime.profile.bench import MachineBench

Call = Callable[..., Result]
SIZES = ("--size", "96x72", "--size", "48x36")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small").path


@pytest.fixture
def profile(edgefusion: Call, bundle: Path, tmp_path: Path) -> Call:
    """Calls the command for small, short runs into ``tmp_path / "out"``."""
    words = ("--bundle", bundle, "--precision", "fp32", "--duration", "0.2s", "--out", tmp_path / "out")
    return lambda *more: edgefusion("profile", *words, *more)


@pytest.fixture
def nvpmodel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvpmodel:
    fake = FakeNvpmodel(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{fake.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(power_modes, "CONF", fake.conf)
    return fake


def rows(result: Result, code: int = 0) -> dict[str, dict[str, Any]]:
    assert result.exit_code == code, result.output
    return {row["name"]: row for row in json.loads(result.stdout)["rows"]}


def records(out: Path) -> dict[str, int]:
    """Finished runs, and when each was written."""
    names = [path for path in out.glob("[!.]*.json") if path.name not in ("profile.json", "summary.json")]
    return {path.stem: path.stat().st_mtime_ns for path in names}


def test_every_combination_has_its_record_and_its_row(profile: Call, tmp_path: Path) -> None:
    found = rows(profile(*SIZES, "--json"))
    out = tmp_path / "out"
    assert set(found) == set(records(out)) == {"fp32-96x72", "fp32-48x36"}
    for name, row in found.items():
        record = json.loads((out / row["file"]).read_text())
        assert (row["state"], row["fps"], row["size_px"]) == (
            "finished", record["fps"], [record["width"], record["height"]],
        )  # fmt: skip
        assert name == f"fp32-{record['width']}x{record['height']}"
        assert record["state"] == "complete"
        assert record["seconds"] >= 0.15  # to the last frame
        assert record["counts"]["warm_up"] >= 5
    assert json.loads((out / "summary.json").read_text())["rows"] == list(found.values())
    assert "fp32-48x36" in (out / "summary.html").read_text()


def test_what_is_finished_is_not_run_again_unless_forced(profile: Call, tmp_path: Path) -> None:
    profile("--size", "48x36")
    before = records(tmp_path / "out")
    again = rows(profile(*SIZES, "--json"))
    assert again["fp32-48x36"]["state"] == "finished"
    assert records(tmp_path / "out")["fp32-48x36"] == before["fp32-48x36"]
    rows(profile("--size", "48x36", "--force", "--json"))
    assert records(tmp_path / "out")["fp32-48x36"] > before["fp32-48x36"]
    assert set(records(tmp_path / "out")) == {"fp32-48x36"}


def test_force_leaves_files_alone_that_are_not_its_own(profile: Call, tmp_path: Path) -> None:
    profile("--size", "48x36")
    (mine := tmp_path / "out" / "notes.json").write_text("{}")
    rows(profile("--size", "48x36", "--force", "--json"))
    assert mine.exists()


def test_another_profile_in_the_folder_is_refused(profile: Call, tmp_path: Path) -> None:
    profile("--size", "48x36")
    result = profile("--size", "48x36", "--fps", "40")
    assert result.exit_code == 2
    assert "a profile with another fps is in there" in result.stderr
    assert rows(profile("--size", "48x36", "--fps", "40", "--force", "--json"))


def test_a_combination_that_fails_has_its_reason_and_the_others_go_on(profile: Call) -> None:
    result = profile("--precision", "int8", "--size", "48x36", "--json")
    found = rows(result, code=5)
    assert found["fp32-48x36"]["state"] == "finished"
    assert found["int8-48x36"]["state"] == "failed"
    assert "no int8 model" in found["int8-48x36"]["why"]
    assert "int8-48x36 failed" in profile("--precision", "int8", "--size", "48x36").stdout


def test_all_precisions_that_may_be_used_are_swept(edgefusion: Call, bundle: Path, tmp_path: Path) -> None:
    words = ("--bundle", bundle, "--duration", "0.1s", "--out", tmp_path / "out", "--size", "48x36", "--json")
    assert set(rows(edgefusion("profile", *words, "--sweep", "precision"))) == {"fp32-48x36"}


def test_the_cameras_of_a_rig(profile: Call, tmp_path: Path) -> None:
    rig = write_rig(tmp_path / "rig.toml")
    found = rows(profile("--rig", rig, "--json"))
    assert set(found) == {"fp32"}
    assert found["fp32"]["size_px"] == [64, 48]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["latency_from"] == "exposure"
    assert profile("--rig", rig, "--size", "48x36").exit_code == 2
    assert profile("--rig", rig, "--fps", 30).exit_code == 2


def test_power_modes_are_swept_and_put_back(profile: Call, nvpmodel: FakeNvpmodel) -> None:
    sweep = ("--sweep", "power-mode", "--size", "48x36")
    refused = profile(*sweep)
    assert (refused.exit_code, nvpmodel.calls) == (2, [])
    assert "--allow-power-mode" in refused.stderr
    found = rows(profile(*sweep, "--allow-power-mode", "--json"), code=5)
    assert {name: row["state"] for name, row in found.items()} == {
        "fp32-48x36-MAXN_SUPER": "finished",
        "fp32-48x36-15W": "finished",
        "fp32-48x36-MODE_30W_REBOOT": "failed",
    }
    assert [call for call in nvpmodel.calls if call.startswith("-m")] == ["-m 0", "-m 2", "-m 3", "-m 2"]
    assert nvpmodel.number == 2


def test_nothing_is_changed_where_nothing_is_left_to_run(profile: Call, nvpmodel: FakeNvpmodel) -> None:
    words = ("--power-mode", "MAXN_SUPER", "--allow-power-mode", "--size", "48x36", "--json")
    rows(profile(*words))
    before = nvpmodel.calls
    rows(profile(*words))
    assert nvpmodel.calls == before


class WarmBench(MachineBench):
    """Its machine grows warm with every run; notes what it was asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.degrees = 40.0

    def temperatures_c(self) -> dict[str, float]:
        self.degrees = max(self.degrees - 2.0, 40.0)
        return {"cpu": self.degrees}

    def rest(self, seconds: float, stop: Any) -> None:
        self.done.append(f"rest at {self.degrees:g}")

    def run(self, *given: Any, **options: Any) -> bool:
        self.done.append("run")
        self.degrees = 47.0
        return super().run(*given, **options)


def test_the_machine_cools_down_between_runs_and_rests_before_each(bundle: Path, tmp_path: Path) -> None:
    settings = job.ProfileSettings(
        tmp_path / "out", bundle, precisions=("fp32",), sizes=((48, 36), (96, 72)), duration_s=0.1
    )  # fmt: skip
    bench, told = WarmBench(), []
    job.profile(settings, bench=bench, tell=lambda *news: told.append(news[:2]))
    assert bench.done == ["rest at 40", "run", "rest at 43", "run"]
    assert ("fp32-96x72", "cooling down") in told


def test_interrupted_it_keeps_what_is_finished_and_goes_on_later(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [*SIZES, "--size", "64x48", "--bundle", str(bundle), "--precision", "fp32", "--out", str(out)]
    command = [sys.executable, "-m", "edgefusion.cli", "profile", "--duration", "1s", "--json", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: records(out), process=process)
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    states = {row["name"]: row["state"] for row in json.loads(stdout)["rows"]}
    assert states == {"fp32-96x72": "finished", "fp32-48x36": "pending", "fp32-64x48": "pending"}
    assert list(out.glob(".*")) == []
    before = records(out)
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert {row["state"] for row in json.loads(done.stdout)["rows"]} == {"finished"}
    assert records(out)["fp32-96x72"] == before["fp32-96x72"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sweep", "colour"), "cannot be swept"),
        (("--duration", "soon"), "no duration"),
        (("--size", "big"), "--size big"),
        (("--power-mode", "MAXN", "--allow-power-mode"), "no power modes here"),
    ],
)
def test_what_makes_no_sense_is_said(profile: Call, words: tuple[str, ...], said: str, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = profile(*words)
    assert result.exit_code in (2, 3)
    assert said in result.stderr
