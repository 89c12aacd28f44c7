"""What each part of distillation is worth: one student trained again and again, with one thing changed at a time.

    python distill/runs/ablation/run.py --data ../shared/data --ensembles ENSEMBLES --out OUT

ENSEMBLES holds ``k1``, ``k4`` and ``k8``, of as many samples; ``docs/results.md`` has the commands. Each variant gets
the same steps and three seeds. What is done is left, so the command can be stopped and repeated. OUT gets a folder, a
log and a bundle per run, ``pairs.csv`` with every figure, and ``table.md``.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from distill.backbones import load_backbones
from distill.export import export
from distill.train import StudentSettings, train_student

SEEDS = (0, 1, 2)
COMMON = StudentSettings(arch="proxy-nano", steps=500, batch=4)
REFERENCE = "both signals"
VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "no weighting": {"weights": False},
    "no routing": {"routing": False},
    "image space alone": {"feature": 0.0},
    "feature space alone": {"pixel": 0.0, "gradient": 0.0},
    "no gradients": {"gradient": 0.0},
    "plain L1 to the mean": {"feature": 0.0, "gradient": 0.0, "weights": False},
    "tau 0.25": {"tau": 0.25},
    "tau 0.5": {"tau": 0.5},
    "tau 2": {"tau": 2.0},
    "tau 4": {"tau": 4.0},
    "K = 4": {},
    "K = 1": {},
    "no misalignment": {"misalign": None},
}
JUDGED = "--precision fp32 --no-baselines --misalign px=20 --degrade noise=20"
METRICS = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM", "Nabf")


def main() -> None:
    """Train, export and judge every variant, then write the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--ensembles", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    bundles = [train(variant, seed, chosen.ensembles, chosen.out) for seed in SEEDS for variant in VARIANTS]
    figures = chosen.out / "pairs.csv"
    command = [sys.executable, "-m", "edgefusion.cli", "evaluate", "--pairs", str(chosen.data), *JUDGED.split()]
    command += [word for bundle in bundles for word in ("--bundle", str(bundle))]
    subprocess.run([*command, "--csv", str(figures)], check=True)  # noqa: S603  # our own command
    (chosen.out / "table.md").write_text(table(figures))


def train(variant: str, seed: int, ensembles: Path, out: Path) -> Path:
    """The bundle of one run; its name is ``VARIANT.SEED``."""
    name = run_name(variant, seed)
    bundle, samples = out / "bundles" / name, variant.removeprefix("K = ") if variant.startswith("K = ") else "8"
    if not bundle.exists():
        settings = replace(COMMON, seed=seed, **VARIANTS[variant])
        eyes = load_backbones(["tf_efficientnet_lite0"]) if settings.feature else []
        with (out / f"{name}.log").open("a") as stream:
            train_student(
                ensembles / f"k{samples}",
                out / name,
                settings,
                backbones=eyes,
                every=100,
                log=lambda row: print(json.dumps(row), file=stream, flush=True),
            )
        export(out / name, bundle, name=name, size_px=(640, 480), licence="not stated")
    return bundle


def run_name(variant: str, seed: int) -> str:
    """``no-routing.2``."""
    return f"{variant.replace(' = ', '').replace(' ', '-')}.{seed}"


def table(figures: Path) -> str:
    """Markdown: the reference variant's means, then by how many percent each other one differs, with its 95 % interval.

    Seeds are the sample: t intervals of the differences between runs of one seed, of means over all pairs.
    """
    sums: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    with figures.open(newline="") as stream:
        for row in csv.DictReader(stream):
            sums[row["sweep"], row["entry"].removesuffix(" fp32")].append([float(row[metric]) for metric in METRICS])
    means = {key: np.mean(rows, axis=0) for key, rows in sums.items()}
    lines = []
    for sweep in dict.fromkeys(key[0] for key in means):
        found = {v: np.array([means[sweep, run_name(v, seed)] for seed in SEEDS]) for v in VARIANTS}
        base = found.pop(REFERENCE)
        mean = base.mean(axis=0)
        lines += [
            f"## {sweep or 'as it is'}",
            "",
            f"| variant | {' | '.join(METRICS)} |",
            "|---" * (len(METRICS) + 1) + "|",
        ]
        lines.append(f"| {REFERENCE} | {' | '.join(f'{value:.4g}' for value in mean)} |")
        for variant, less in {"its seeds": base - mean, **{v: ours - base for v, ours in found.items()}}.items():
            change = 100 * less / mean
            half = stats.t.ppf(0.975, len(SEEDS) - 1) * change.std(axis=0, ddof=1) / np.sqrt(len(SEEDS))
            cells = [f"{middle:+.1f} ± {by:.1f} %" for middle, by in zip(change.mean(axis=0), half, strict=True)]
            lines.append(f"| {variant} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
