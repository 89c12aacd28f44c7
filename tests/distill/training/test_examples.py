from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from training import eyes, train  # noqa: E402

from distill.examples import Changes, Course, Ensemble  # noqa: E402
from distill.misalignment import WarpRange  # noqa: E402
from distill.shards import PLAN, read_ensemble, read_plan, read_shard, shard_path, write_shard  # noqa: E402
from edgefusion.core.errors import InputError, UsageError  # noqa: E402

PLAIN = Changes(None, None)


def test_other_backbones_than_the_ensembles_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other backbones than test_resnet"):
        train(place, tmp_path / "out", backbones=[eyes(place, "others")])
    with pytest.raises(UsageError, match="without backbones"):
        train(place, tmp_path / "out", backbones=[])


def test_an_ensemble_that_is_empty_or_not_finite_is_refused(place: Path, tmp_path: Path) -> None:
    whole = read_shard(shard_path(place / "shards", 0, 2))
    (tmp_path / PLAN).write_text(json.dumps({**(read_plan(place / "shards") or {}), "shards": 1}))
    broken = dataclasses.replace(whole.units[1], mean=torch.full((32, 32), torch.nan))
    for units, message in (([whole.units[0], broken], "roadscene/a@1 is not finite"), ([], "the ensemble is empty")):
        write_shard(shard_path(tmp_path, 0, 1), dataclasses.replace(whole, units=units))
        with pytest.raises(InputError, match=message):
            train(place, tmp_path / "out", ensemble=tmp_path)


def test_an_aligned_example_is_the_plain_crop_and_each_comes_once_a_round(place: Path) -> None:
    ensemble = Ensemble(place / "shards", {})
    units = [unit for shard in read_ensemble(place / "shards") for unit in shard.units]
    course = Course(ensemble, range(len(ensemble)), PLAIN, seed=0)
    batch = course.batch(range(len(ensemble)), 1.0)
    assert torch.equal(batch.inputs, batch.sources)
    wanted = torch.stack([unit.mean for unit in units])
    assert sorted(batch.mean.sum((1, 2, 3)).tolist()) == pytest.approx(sorted(wanted.sum((1, 2)).tolist()))
    still = Course(ensemble, range(len(ensemble)), Changes(WarpRange(), None), seed=0).batch(range(6), 0.0)
    assert torch.equal(still.inputs, batch.inputs)


def test_a_moved_thermal_shows_what_lies_beside_the_crop_and_the_target_stays(place: Path) -> None:
    ensemble = Ensemble(place / "shards", {})
    only = WarpRange(shift_px=6, turn_deg=0, scale=0, perspective=0, aligned=0)
    course = Course(ensemble, range(len(ensemble)), Changes(only, None), seed=0)
    batch = course.batch(range(6), 1.0)
    assert torch.equal(batch.inputs[:, 0], batch.sources[:, 0])
    assert not torch.equal(batch.inputs[:, 1], batch.sources[:, 1])
    plain = Course(ensemble, range(len(ensemble)), PLAIN, seed=0).batch(range(6), 1.0)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(batch[1:4], plain[1:4], strict=True))
    assert torch.equal(course.batch([4], 1.0).inputs, batch.inputs[4:5])
