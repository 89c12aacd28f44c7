from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from training import SETTINGS, train  # noqa: E402

from distill.shards import read_ensemble  # noqa: E402
from distill.train import StudentSettings  # noqa: E402


def test_each_term_can_be_switched_off(place: Path, tmp_path: Path) -> None:
    def first(name: str, **changed: Any) -> dict[str, float]:
        settings = dataclasses.replace(SETTINGS, steps=1, batch=6, misalign=None, degrade=0, **changed)
        return train(place, tmp_path / name, settings)[0]

    whole = first("whole")
    terms = {"pixel", "gradient", "feature", "fidelity"}
    assert whole["loss"] == pytest.approx(sum(whole[term] for term in terms), rel=1e-5)
    for term in terms:
        row = first(term, **{term: 0.0})
        assert terms & row.keys() == terms - {term}
        assert all(row[other] == pytest.approx(whole[other]) for other in terms - {term})
    assert first("double", pixel=2.0)["pixel"] == pytest.approx(2 * whole["pixel"])
    for switch, changed in (("weights", {"pixel", "gradient"}), ("routing", {"feature"})):
        row = first(switch, **{switch: False})
        assert all(row[term] != pytest.approx(whole[term], rel=1e-4) for term in changed)
        assert all(row[other] == pytest.approx(whole[other]) for other in terms - changed)


def test_without_weights_the_pixel_term_is_the_distance_to_the_mean(place: Path, tmp_path: Path) -> None:
    settings = StudentSettings(steps=1, batch=6, weights=False, feature=0, misalign=None, degrade=0)
    row = train(place, tmp_path / "out", settings, backbones=())[0]
    torch.manual_seed(0)
    distances = []
    for shard in read_ensemble(place / "shards"):
        for unit in shard.units:
            visible, thermal = shard.planes[unit.pair][unit.window].float()
            soft = torch.sigmoid(10 * (visible - thermal))
            distances.append(float((soft * visible + (1 - soft) * thermal - unit.mean).abs().mean()))
    assert row["pixel"] == pytest.approx(np.mean(distances), rel=1e-4)
