from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch comes with [train]")

SCRIPT = Path(__file__).parents[2] / "distill" / "runs" / "ablation" / "run.py"


def test_the_table_has_the_change_of_each_variant_with_the_interval_of_its_seeds(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("ablation", SCRIPT)
    assert spec
    assert spec.loader
    ablation = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ablation)
    with (tmp_path / "pairs.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["pair", "scene", "entry", "sweep", "strength", *ablation.METRICS])
        for pair in ("a", "b"):
            for variant in ablation.VARIANTS:
                for seed in ablation.SEEDS:
                    value = 10.0 + (1 + 0.1 * seed if variant == "tau 4" else 0) + (pair == "a") - (pair == "b")
                    name = ablation.run_name(variant, seed)
                    rows.writerow([pair, "all", f"{name} fp32", "", "0", *[repr(value)] * len(ablation.METRICS)])
    table = ablation.table(tmp_path / "pairs.csv").splitlines()
    assert "## as it is" in table
    assert f"| {ablation.REFERENCE} | " + " | ".join(["10"] * len(ablation.METRICS)) + " |" in table
    (changed,) = [line for line in table if line.startswith("| tau 4 |")]
    assert "+11.0 ± 2.5 %" in changed  # t of 2 degrees of freedom, 4.303, times 1 % / sqrt(3)
    (same,) = [line for line in table if line.startswith("| no routing |")]
    assert "+0.0 ± 0.0 %" in same
