from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from records import complete, without_power

from edgefusion.core.bundle import load_bundle
from edgefusion.core.errors import InputError
from runtime.profile.plan import Combination, combine, parse_axes, sizes_of
from runtime.profile.power_modes import PowerMode
from runtime.profile.summary import Row, figures, finished, metric_of, quality_of, unfinished, with_front
from runtime.report.schema import RunRecord


def row(name: str, p50: float | None, energy: float | None, vif: float | None, **more: Any) -> Row:
    quality = {} if vif is None else {"VIF": vif}
    known = {"size_px": (640, 480), "state": "finished", "power_mode": None, "precision": "fp16", **more}
    return Row(name=name, p50_ms=p50, energy_mj=energy, quality=quality, **known)


def fronts(*rows: Row) -> set[str]:
    return {each.name for each in with_front(rows, "VIF") if each.front}


def test_the_front_has_what_nothing_else_beats_in_every_respect() -> None:
    fast, careful = row("fast", 5, 100, 0.80), row("careful", 9, 200, 0.90)
    beaten, equal = row("beaten", 10, 200, 0.90), row("equal", 5, 100, 0.80)
    assert fronts(fast, careful, beaten, equal) == {"fast", "careful", "equal"}


def test_sizes_do_not_compete_and_neither_does_what_failed() -> None:
    small = row("small", 1, 10, 0.80, size_px=(320, 240))
    failed = row("failed", None, None, None, state="failed", why="no memory")
    assert fronts(small, row("large", 5, 100, 0.80), failed) == {"small", "large"}


def test_what_is_not_measured_does_not_decide() -> None:
    assert fronts(row("fast", 5, None, 0.8), row("slow", 9, None, 0.8)) == {"fast"}


def written(run: RunRecord, folder: Path, **changes: Any) -> Path:
    """Its record as a file, with ``changes`` made by hand."""
    (path := folder / "run.json").write_text(json.dumps({**json.loads(run.model_dump_json(by_alias=True)), **changes}))
    return path


def test_a_record_brings_speed_latency_and_power(tmp_path: Path) -> None:
    run = complete()
    assert run.energy
    path = written(run, tmp_path)
    found = finished(Combination("fp16", (640, 480), PowerMode(2, "15W")), path, {"fp16": {"VIF": 0.8}})
    percentiles = run.latency.published.percentiles_ms
    assert (found.name, found.fps, found.size_px) == ("fp16-640x480-15W", run.fps, (run.width, run.height))
    assert (found.p50_ms, found.p99_ms) == (percentiles["p50"], percentiles["p99"])
    assert (found.dropped, found.frames) == (sum(run.counts.dropped.values()), run.counts.published)
    assert found.deadline_misses == run.latency.deadline_misses > 0
    assert (found.energy_mj, found.net_mj) == (run.energy.gross_mj, run.energy.net_mj)
    assert found.power_of == "hwmon, module input"
    path = written(without_power(), tmp_path)
    assert (figures(path)["energy_mj"], figures(path)["power_of"]) == (None, None)


def test_without_a_deadline_no_misses_are_told(tmp_path: Path) -> None:
    assert figures(written(complete(deadline_ms=None), tmp_path))["deadline_misses"] is None


def test_a_record_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"contradict each other.*--force"):
        figures(written(complete(), tmp_path, fps=99_999.0))
    with pytest.raises(InputError, match=r"fps.*--force"):
        figures(written(complete(), tmp_path, fps=-99_999.0))


def test_the_quality_is_the_bundles() -> None:
    quality = quality_of(load_bundle())
    assert set(quality) == {"fp32", "fp16", "int8"}
    assert quality["fp32"]["VIF"] > quality["int8"]["VIF"] > 0.5
    assert (metric_of(quality), metric_of({}), metric_of({"fp16": {"SSIM": 1.0}})) == ("VIF", None, "SSIM")


def test_the_power_mode_changes_least_often() -> None:
    modes = [PowerMode(0, "MAXN"), PowerMode(1, "10W / desk")]
    names = [each.name for each in combine(["int8", "fp16"], [(32, 32)], modes)]
    assert names == ["int8-32x32-MAXN", "fp16-32x32-MAXN", "int8-32x32-10W___desk", "fp16-32x32-10W___desk"]


def test_sizes_of_a_sweep_are_multiples_of_four() -> None:
    sizes = sizes_of(load_bundle(), (), swept=True, rig=False)
    assert len(sizes) == 3
    assert all(size and size[0] % 4 == size[1] % 4 == 0 for size in sizes)
    assert sizes_of(load_bundle(), ((64, 48), (64, 48)), swept=False, rig=False) == [(64, 48)]


def test_axes_and_rows_that_are_pending() -> None:
    assert parse_axes("precision, size") == ("precision", "size")
    assert unfinished(Combination("fp16", None)).state == "pending"
    assert unfinished(Combination("fp16", None), "no memory").why == "no memory"
