from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from journals import Rehearsal, header

from edgefusion.core.errors import InputError
from runtime.journal import recording
from runtime.journal.load import load_record
from runtime.journal.recorder import Recorder
from runtime.journal.snapshot import Snapshot

SUPPORT = Path(__file__).parents[2] / "support"

RUNNER = """
import sys, time
from pathlib import Path
from journals import Rehearsal, header
from runtime.journal import recording
from runtime.journal.recorder import Recorder

recording.STEP_S = 0.02
run = Rehearsal()
with Recorder(Path(sys.argv[1]), header(), run.snapshot, say=print, power=run, readings=run, clock=run.clock):
    while True:
        run.frame(1 / 30)
        time.sleep(0.001)
"""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "STEP_S", 0.02)


@contextmanager
def driven(run: Rehearsal) -> Iterator[None]:
    """Frames come meanwhile, from another thread."""
    over = threading.Event()

    def drive() -> None:
        while not over.wait(0.001):
            run.frame(1 / 30)

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about")


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_run_is_recorded_beside_its_loop(tmp_path: Path) -> None:
    run, path = Rehearsal(), tmp_path / "run.json"
    with Recorder(path, header(), run.snapshot, say=print, power=run, readings=run, clock=run.clock) as recorder:
        with driven(run):
            wait_for(lambda: lines(tmp_path / "run.jsonl") > 20)
        record = recorder.finish("complete")
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    assert load_record(path) == record
    assert record.counts.published == run.snapshot().frames
    assert record.timeline is not None
    assert len(record.timeline.seconds) > 15


def test_an_error_of_the_run_leaves_the_journal(tmp_path: Path) -> None:
    run = Rehearsal()
    with (
        pytest.raises(RuntimeError, match="the run failed"),
        Recorder(tmp_path / "run.json", header(), run.snapshot, say=print, clock=run.clock),
        driven(run),
    ):
        wait_for(lambda: lines(tmp_path / "run.jsonl") > 5)
        raise RuntimeError("the run failed")
    assert load_record(tmp_path / "run.jsonl").state == "killed"


def test_a_recorder_that_fails_says_so_and_the_run_goes_on(tmp_path: Path) -> None:
    run, said, failing = Rehearsal(), list[str](), True

    def snapshot() -> Snapshot:
        if failing and run.snapshot().frames > 30:
            raise ZeroDivisionError("no such thing")
        return run.snapshot()

    with Recorder(tmp_path / "run.json", header(), snapshot, say=said.append, clock=run.clock) as recorder:
        with driven(run):
            wait_for(lambda: bool(said))
        failing = False
        record = recorder.finish("complete")
    assert len(said) == 1
    assert "recording stopped after an error: ZeroDivisionError('no such thing')" in said[0]
    assert record.remarks == said
    assert record.counts.published == run.snapshot().frames


def test_a_run_without_a_frame_makes_no_record(tmp_path: Path) -> None:
    run = Rehearsal()
    recorder = Recorder(tmp_path / "run.json", header(), run.snapshot, say=print)
    with recorder, pytest.raises(InputError, match="no frame was published"):
        recorder.finish("complete")
    assert [each.name for each in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_killed_process_leaves_what_it_recorded(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    call = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n{RUNNER}", tmp_path / "run.json"]
    with subprocess.Popen(call) as process:
        try:
            wait_for(lambda: lines(journal) > 40)
            assert "still goes on" in load_record(journal).remarks[0]
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    record = load_record(journal)
    assert record.state == "killed"
    assert "the run was killed" in record.remarks[0]
    assert record.counts.published > 30
    assert record.timeline is not None
    assert len(record.timeline.seconds) > 30
    assert record.meters[0].joules
