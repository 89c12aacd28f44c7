from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interrupts import gone

pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from training import SETTINGS, command, same, train

from distill.state import read_facts
from distill.train import STATE
from edgefusion.core.errors import InputError, UsageError


def test_any_number_of_workers_leads_to_the_very_same_weights(place: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=7, accumulate=2)
    alone = train(place, tmp_path / "alone", settings)
    helped = train(place, tmp_path / "helped", settings, workers=2)
    assert [row["loss"] for row in helped] == [row["loss"] for row in alone]
    assert same(tmp_path / "alone", tmp_path / "helped")
    assert not multiprocessing.active_children()


def test_what_is_wrong_in_a_worker_is_said_as_it_is_here(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "shards", tmp_path / "shards")

    def lose(row: dict[str, float]) -> None:
        for path in (tmp_path / "shards").glob("shard-*"):
            path.unlink()

    with pytest.raises(
        InputError, match=r"shard-0000\d-of-00002\.safetensors: the shard changed during the run"
    ) as said:
        settings = dataclasses.replace(SETTINGS, steps=40)
        train(place, tmp_path / "out", settings, ensemble=tmp_path / "shards", workers=1, log=lose)
    assert said.value.remedy.startswith("delete it and repeat")
    assert not multiprocessing.active_children()
    with pytest.raises(UsageError, match="give --workers 0 or more"):
        train(place, tmp_path / "none", workers=-1)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_training_however_it_ends(place: Path, tmp_path: Path, end: signal.Signals) -> None:
    call = [sys.executable, *command(place, tmp_path / "out"), "--every", "1", "--steps", "100000", "--workers", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(call, **pipes, text=True, start_new_session=True) as run:
        assert run.stdout
        run.stdout.readline()
        if end == signal.SIGINT:
            os.killpg(run.pid, end)  # as a terminal does: to everyone
        else:
            run.kill()
        said = run.communicate(timeout=120)[1]
    assert gone(run.pid)
    if end == signal.SIGINT:
        assert run.returncode == 1
        assert said.strip() == "Aborted!"
        assert read_facts(tmp_path / "out" / STATE)["step"] > 0
