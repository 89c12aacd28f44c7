from __future__ import annotations

import json
from pathlib import Path

import pytest
from records import complete, throttled, without_power

from runtime.report.schema import RunRecord


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run.json", complete())


def write(path: Path, record: RunRecord) -> Path:
    path.write_text(record.model_dump_json(by_alias=True))
    return path


def test_a_run_is_told_in_a_sentence_and_drawn_on_a_page(edgefusion, run: Path, tmp_path: Path) -> None:
    result = edgefusion("report", run, "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("30 fps, p99 15.1 ms, 17 misses in 600 s, 0.401 J/frame (module input)")
    assert f"page: {tmp_path / 'page.html'}" in result.stdout
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_gates_decide_the_exit_code_and_all_are_printed(edgefusion, run: Path) -> None:
    passed = edgefusion("report", run, "--fail-if", "p99_ms>20", "--fail-if", "fps<25")
    assert passed.exit_code == 0
    assert passed.stdout.count("passed: ") == 2
    failed = edgefusion("report", run, "--fail-if", "p99_ms>20", "--fail-if", "misses>0", "--fail-if", "dropped>0")
    assert failed.exit_code == 5
    assert (failed.stdout.count("passed: "), failed.stdout.count("FAILED: ")) == (1, 2)
    as_json = edgefusion("report", run, "--fail-if", "misses>0", "--json")
    assert as_json.exit_code == 5
    assert json.loads(as_json.stdout)["failed"]


def test_what_was_not_measured_fails_a_gate(edgefusion, tmp_path: Path) -> None:
    path = write(tmp_path / "run.json", without_power())
    result = edgefusion("report", path, "--fail-if", "j_per_frame>1000")
    assert result.exit_code == 5
    assert "not measured" in result.stdout


def test_runs_side_by_side_are_called_by_their_files(edgefusion, run: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    same = write(tmp_path / "b" / "run.json", throttled())
    other = write(tmp_path / "other.json", throttled(width=640))
    result = edgefusion("report", run, "--compare", same, "--compare", other, "--markdown")
    assert result.exit_code == 0
    assert "### other.json against " in result.stdout
    assert str(same).replace("_", "\\_") in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "no run was named"),
        (["run.json", "--fail-if", "p99_ms"], 2, "not a condition"),
        (["run.json", "--fail-if", "p98>1"], 2, "there are fps, fusion_fps"),
        (["run.json", "--json", "--markdown"], 2, "choose one"),
        (["missing.json"], 4, "missing.json"),
        (["old.json"], 4, "old.json"),
        (["text.json"], 4, "text.json"),
        (["run.json", "--compare", "missing.json"], 4, "missing.json"),
        (["run.json", "--html", "no/where.html"], 3, "where.html"),
    ],
)
def test_what_is_wrong_is_said(
    edgefusion, run: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(run.parent)
    Path("old.json").write_text('{"schema": 1, "frames": 3}')
    Path("text.json").write_text("fast")
    result = edgefusion("report", *words)
    assert result.exit_code == code, result.output
    assert said in result.stderr


def test_the_schema_is_printed_and_describes_the_record(edgefusion, run: Path) -> None:
    schema = json.loads(edgefusion("report", "--schema").stdout)
    assert schema["properties"]["schema"]["const"] == 3
    assert set(json.loads(run.read_text())) <= set(schema["properties"])
