from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import log


@pytest.fixture(autouse=True)
def untouched_logger() -> Iterator[None]:
    before = log.LOGGER.handlers[:], log.LOGGER.level, log.LOGGER.propagate
    yield
    log.LOGGER.handlers[:], log.LOGGER.level, log.LOGGER.propagate = before


def test_an_event_is_one_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("text")
    log.event("camera", rig="front", side="thermal", state="lost", why='no frame\nfor "1 s"', frames=3, late=None)
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z camera rig=front side=thermal state=lost "
        r'why="no frame\\nfor \\"1 s\\"" frames=3 late=null\n',
        line,
    ), line


def test_an_event_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    log.event("camera", name="front", path=Path("/dev/video0"), rate=29.97, ok=True)
    found = json.loads(capsys.readouterr().err)
    assert found.pop("time").endswith("Z")
    assert found == {"event": "camera", "name": "front", "path": "/dev/video0", "rate": 29.97, "ok": True}


def test_the_form_can_be_changed_and_nothing_is_written_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json", "text"):
        log.configure(form)  # type: ignore[arg-type]
    log.event("run", state="running")
    assert capsys.readouterr().err.count("running") == 1


def test_threads_do_not_mix_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    threads = [
        threading.Thread(target=lambda number=number: [log.event("turn", by=number, text="x" * 500) for _ in range(50)])
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sorted(line["by"] for line in lines) == [number for number in range(4) for _ in range(50)]


def test_a_program_that_uses_the_library_decides_where_lines_go(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log.LOGGER, "handlers", [])  # as it is before any command of ours ran here
    monkeypatch.setattr(log.LOGGER, "propagate", True)
    with caplog.at_level(logging.INFO, logger="edgefusion"):
        log.event("ring", state="open", to="ring:front")
    assert caplog.messages == ["ring state=open to=ring:front"]
    assert capsys.readouterr().err == ""


def test_a_closed_standard_error_does_not_end_the_run() -> None:
    script = (
        "import os; from runtime import log; log.configure('text'); os.close(2); "
        "[log.event('run', state='going') for _ in range(3)]; print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "alive\n"
