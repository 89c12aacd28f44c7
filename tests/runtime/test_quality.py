"""The shipped student against published networks, on the validation pairs and by the same definitions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import reference_kernels

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.pairs import load_split
from edgefusion.metrics.fusion import fusion_metrics
from runtime.fusion import open_fusion

RANKED = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM")


BASELINE = {
    "EN": 6.860, "SD": 42.34, "SF": 11.66, "AG": 4.121, "MI": 3.004, "SCD": 1.558, "VIF": 0.8526, "Qabf": 0.5969,
    "SSIM": 1.369, "Nabf": 0.0176,
}  # fmt: skip
"""What training on source fidelity alone reached on the same pairs (docs/results.md)."""


@pytest.fixture(scope="module")
def scores(data: Path) -> dict[str, float]:
    """Mean of each metric over the validation pairs, of luma as the engine gives it, rounded to bytes."""
    fusion = open_fusion(load_bundle(), find_device("cpu"), precision="fp32")
    rows = []
    for pair in (stored.load() for stored in load_split(data, "val")):
        fusion.fuse(pair)
        visible, _, _ = reference_kernels.luma_and_chroma(pair.visible.pixels, pair.visible.format)
        greys = (np.round(fusion.luma() * 255), np.round(visible * 255), pair.thermal.pixels)
        rows.append(fusion_metrics(greys[0], visible=greys[1], thermal=greys[2], names=(*RANKED, "Nabf")))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def ranks(entry: dict[str, float], others: list[dict[str, float]]) -> list[int]:
    return [1 + sum(other[name] > entry[name] for other in others) for name in RANKED]


@pytest.mark.slow
def test_the_shipped_student_is_level_with_the_best_published_networks(data: Path, scores: dict[str, float]) -> None:
    peers = json.loads((data.parent / "reference" / "quality" / "peers.json").read_text())["mean"]
    mine = ranks(scores, list(peers.values()))
    theirs = {
        name: np.mean(ranks(peers[name], [p for k, p in peers.items() if k != name] + [scores])) for name in peers
    }
    print({name: round(value, 4) for name, value in scores.items()}, mine, np.mean(mine), theirs)
    assert np.mean(mine) <= min(theirs.values())
    assert max(mine) <= 5


@pytest.mark.slow
def test_distillation_costs_nothing_against_its_baseline_and_takes_artefacts_away(scores: dict[str, float]) -> None:
    assert all(scores[name] > 0.98 * BASELINE[name] for name in RANKED)
    assert scores["Nabf"] < 0.95 * BASELINE["Nabf"]
