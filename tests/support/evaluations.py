"""A made-up evaluation with every optional part, for what shows results."""

from __future__ import annotations

import numpy as np

from edgefusion.kernels.agc import AgcSpec
from edgefusion.metrics.detection import FIGURES
from edgefusion.metrics.fusion import METRICS
from edgefusion.metrics.resampling import RESAMPLES
from runtime.evaluate import result as parts
from runtime.evaluate.measure import Measured, Plan
from runtime.evaluate.summary import SCENES, curves, entry_results
from runtime.evaluate.sweep import Condition

ALONE = ("visible", "thermal")


class Named:
    """As much of an entry as a summary needs."""

    smallest_side_px = 1

    def __init__(self, name: str, kind: str, *, fuses: bool = True) -> None:
        self.name = self.identity = name
        self.kind, self.fuses = kind, fuses
        facts = {"precision": "fp16", "compute": "f32", "backend": "openvino", "device": "cpu"}
        self.facts = facts if kind == "student" else {}

    def reads(self, pair: object) -> None:
        raise NotImplementedError

    def open(self) -> None:
        raise NotImplementedError


def evaluation(
    names: tuple[str, ...] = ("student fp16", "other", "visible", "thermal", "mean"), pairs: int = 24, *,
    block: int = 1, metrics: tuple[str, ...] = METRICS, full: bool = True, seed: int = 0,
) -> parts.Evaluation:  # fmt: skip
    """Figures drawn at random, summed up by the evaluator's own code; the first entry a student, the second a folder.

    Args:
        names: of the entries.
        pairs: how many; a third by night. Their pictures are not there.
        metrics: computed.
        block: frames that count as one draw, of a clip.
        full: with detection, flicker, tracks and braking.
        seed: of the draws.
    """
    draw = np.random.default_rng(seed)
    kinds = ["student", "folder", *["baseline"] * len(names)]
    entries = [Named(name, kind, fuses=kind != "folder") for name, kind in zip(names, kinds, strict=False)]
    sweeps = {"px": (0.0, 10.0, 20.0, 30.0), "fog": (0.0, 0.5)}
    steps = [Condition(kind, strength) for kind, strengths in sweeps.items() for strength in strengths if strength]
    plan = Plan(tuple(entries), (Condition(), *steps), metrics, AgcSpec(), seed, block=block)  # type: ignore[arg-type]
    level = draw.uniform(0.2, 6, len(metrics)) * (1 + draw.normal(0, 0.08, (len(entries), 1, len(metrics))))
    spread = draw.normal(0, 0.15, (len(entries), pairs, len(metrics))) + draw.normal(0, 0.3, (1, pairs, 1))
    fall = 1 - 0.008 * np.array([condition.strength for condition in plan.conditions])
    values = (level + spread)[None] * fall[:, None, None, None]
    measured = Measured(values, draw.uniform(20, 120, pairs), 0)
    seen = [(number, entry) for number in range(len(plan.conditions)) for entry in range(len(entries))]
    ap50 = {key: _around(float(draw.uniform(0.2, 0.7)), 0.04) for key in seen} if full else {}
    scenes = [SCENES[index % 3 == 0] for index in range(pairs)]
    return parts.Evaluation(
        schema=1,
        pairs=pairs,
        source="made up",
        left_out=["small"],
        scenes={scene: scenes.count(scene) for scene in SCENES},
        metrics=list(metrics),
        lower_is_better=[name for name in metrics if name == "Nabf"],
        seed=seed,
        resamples=RESAMPLES,
        block=block,
        computed=0,
        seconds=1.5,
        edgefusion="0.0.0",
        entries=entry_results(plan, measured, scenes),
        curves=curves(plan, measured, sweeps, ap50),
        per_pair=[
            parts.PairResult(
                name=f"set/{index:05}",
                visible="",
                thermal="",
                scene=scenes[index],
                luma=float(measured.luma[index]),
                values={
                    name: dict(zip(metrics, values[0, entry, index].tolist(), strict=True))
                    for entry, name in enumerate(names)
                },
            )
            for index in range(pairs)
        ],
        **(_optional(list(dict.fromkeys((*names[:2], *ALONE))), draw) if full else {}),
    )


def without_pairs(made: parts.Evaluation) -> parts.Evaluation:
    """The same where no pair was judged, only the optional parts."""
    nothing = {"metrics": {}, "scenes": {}, "ranks": {}, "rank": 0.0, "against_first": {}, "against_best": {}}
    entries = [entry.model_copy(update=nothing) for entry in made.entries]
    update = {"entries": entries, "pairs": 0, "scenes": {"day": 0, "night": 0}, "per_pair": [], "curves": []}
    return made.model_copy(update=update)


def _optional(names: list[str], draw: np.random.Generator) -> dict[str, object]:
    return {
        "detection": _detection(names, draw),
        "stability": parts.Stability(guide="visible", fps=10.0, entries={name: _flicker(draw) for name in names}),
        "tracking": parts.Tracking(
            tracker="greedy by overlap",
            least_score=0.3,
            truth="the simulated rig",
            classes=["person"],
            entries={name: _tracks(draw) for name in names},
        ),
        "braking": _braking(names, draw),
    }


def _around(mean: float, half: float) -> parts.Interval:
    return parts.Interval(mean=mean, low=mean - half, high=mean + half)


def _detection(names: list[str], draw: np.random.Generator) -> parts.Detection:
    def scores(truths: int) -> parts.ClassScores:
        figures: dict[str, parts.Interval | None] = {
            name: _around(float(draw.uniform(0.2, 0.7)), 0.04) for name in FIGURES
        }
        return parts.ClassScores(truths=truths, figures={**figures, "recall50 large": None})

    def entry(name: str) -> parts.EntryDetection:
        against = {figure: _around(float(draw.normal(0.05, 0.08)), 0.05) for figure in FIGURES}
        return parts.EntryDetection(
            overall=scores(534),
            classes={"person": scores(310), "car": scores(224)},
            against_visible={} if name == "visible" else {**against, "recall50 large": None},
        )

    return parts.Detection(
        detector="frozen.onnx",
        layout="yolox",
        truth="labels/",
        images=200,
        unknown_classes=["Lamp"],
        entries={name: entry(name) for name in names},
    )


def _flicker(draw: np.random.Generator) -> parts.EntryStability:
    steps = [float(step) for step in draw.gamma(6, 0.15, 120)]
    return parts.EntryStability(
        flicker=_around(float(np.mean(steps)), 0.08),
        p95=float(np.percentile(steps, 95)),
        steps=[*steps[:60], None, *steps[61:]],
    )


def _tracks(draw: np.random.Generator) -> parts.EntryTracking:
    switches, misses = int(draw.integers(2, 20)), int(draw.integers(50, 200))
    return parts.EntryTracking(
        tracks=int(draw.integers(10, 60)),
        median_frames=float(draw.integers(5, 40)),
        truths=800,
        matches=800 - misses,
        misses=misses,
        false_positives=30,
        switches=switches,
        accuracy=1 - (misses + switches + 30) / 800,
    )


def _braking(names: list[str], draw: np.random.Generator) -> parts.Braking:
    def entry(mean_m: float) -> parts.EntryBraking:
        margins = draw.normal(mean_m, 6, 40)
        runs = [
            parts.BrakingRun(
                seed=seed,
                zone=("town", "wood", "field")[seed % 3],
                manner=("crosses", "steps out", "walks along")[seed // 3 % 3],
                margin_m=float(margin),
                impact_mps=max(-float(margin), 0.0),
                braked_at_m=None if margin < -8 else 25.0,
            )
            for seed, margin in enumerate(margins)
        ]
        share = float((margins < 0).mean())
        return parts.EntryBraking(
            collisions=parts.Interval(mean=share, low=max(share - 0.1, 0), high=min(share + 0.1, 1)),
            margin_m=_around(float(margins.mean()), 1.8),
            impact_mps=_around(float(np.maximum(-margins, 0).mean()), 0.4),
            false_brakes=parts.Interval(mean=0.05, low=0.0, high=0.12),
            runs=runs,
        )

    conditions = [
        parts.BrakingCondition(
            name=name, fog=fog, entries={each: entry(float(draw.uniform(2, 9)) - 14 * fog) for each in names}
        )
        for name, fog in (("clear night", 0.0), ("fog", 0.6))
    ]
    return parts.Braking(
        detector="frozen.onnx",
        approaches=40,
        least_score=0.3,
        fps=10.0,
        speed_mps=11.1,
        deceleration_mps2=6.5,
        reaction_s=0.3,
        confirm_frames=3,
        corridor_m=4.5,
        horizon_s=4.0,
        model="A simulation of ours, not a measurement on a road. Point mass, dry road.",
        conditions=conditions,
    )
