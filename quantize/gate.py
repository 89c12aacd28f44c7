"""The quality gate: what a precision does to the fused image, on held-out pairs, against FP32."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Gate
from edgefusion.metrics.fusion import METRICS, fusion_metrics
from edgefusion.metrics.resampling import LEVEL, resampled_means
from quantize.holdout import FEWEST, Holdout, Judged
from quantize.reference import Reference, numerics

TINY = 1e-9
ARTEFACTS = "Nabf"
ARTEFACTS_SHARE = 0.1
"""Nabf is near zero, where a share of it means nothing: it may change by this part of the budget, in its own units."""

Figures = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One figure of one class of scenes.

    Attributes:
        metric: its name.
        fp32: mean of FP32.
        mean: mean of the precision.
        change: of the mean, as a share of FP32's; for Nabf in its own units.
        low: of the change's 95 % interval.
        high: the same.
        budget: what the interval must lie within, both ways: quantization noise raises EN, SF and AG, and a rise is a
            change too.
    """

    metric: str
    fp32: float
    mean: float
    change: float
    low: float
    high: float
    budget: float

    @property
    def within(self) -> bool:
        """Whether the whole interval is within the budget."""
        return max(-self.low, self.high) <= self.budget

    @property
    def strain(self) -> float:
        """The interval's worse end in budgets: over 1 is too much."""
        return max(-self.low, self.high) / self.budget


@dataclass(frozen=True)
class SceneClass:
    """The figures of all pairs, of those by day, or of those at night."""

    name: str
    pairs: int
    changes: tuple[Change, ...]

    @property
    def gated(self) -> bool:
        """Whether it decides: of fewer pairs an interval says nothing."""
        return self.pairs >= FEWEST

    @property
    def passed(self) -> bool:
        """Whether nothing here is over the budget, or it does not decide."""
        return not self.gated or all(change.within for change in self.changes)


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one model.

    Attributes:
        holdout: what it was judged on.
        max_drop: the budget.
        psnr_db: of the output against FP32's before rounding, of the mean squared error over all pairs.
        lowest_psnr_db: of the worst pair, named in ``lowest_pair``.
        classes: all pairs, and those by day and at night where there are any.
    """

    holdout: Holdout
    max_drop: float
    psnr_db: float
    lowest_psnr_db: float
    lowest_pair: str
    classes: tuple[SceneClass, ...]

    @property
    def passed(self) -> bool:
        """Whether every class that decides is within the budget."""
        return all(scenes.passed for scenes in self.classes)

    @property
    def worst(self) -> tuple[SceneClass, Change]:
        """The change nearest to its budget, or furthest over it, of the classes that decide."""
        changes = [(scenes, change) for scenes in self.classes if scenes.gated for change in scenes.changes]
        return max(changes, key=lambda pair: pair[1].strain)

    def gate(self) -> Gate:
        """For the manifest: what did not pass is there because it was accepted."""
        return Gate(
            passed=self.passed,
            accepted=not self.passed,
            max_drop=self.max_drop,
            holdout=self.holdout.description,
            pairs=len(self.holdout.pairs),
            psnr_db=round(self.psnr_db, 2),
            numerics=numerics(),
        )

    def to_json(self) -> dict[str, Any]:
        """For ``quality.json``."""
        return {
            "holdout": self.holdout.description,
            "pairs": len(self.holdout.pairs),
            "numerics": numerics(),
            "max_drop": self.max_drop,
            "passed": self.passed,
            "psnr_db": round(self.psnr_db, 3),
            "lowest_psnr_db": round(self.lowest_psnr_db, 3),
            "lowest_pair": self.lowest_pair,
            "classes": {
                scenes.name: {
                    "pairs": scenes.pairs,
                    "gated": scenes.gated,
                    "metrics": {change.metric: _rounded(change) for change in scenes.changes},
                }
                for scenes in self.classes
            },
        }


def _rounded(change: Change) -> dict[str, Any]:
    values = {name: round(value, 6) for name, value in dataclasses.asdict(change).items() if name != "metric"}
    return {**values, "within": change.within}


class Judge:
    """Holds what FP32 makes of the held-out pairs, and judges models against it.

    Args:
        fp32: the bundle's FP32 model.
        holdout: the pairs.
        max_drop: the budget, a share.
        seed: of the intervals.

    Raises:
        InputError: the model computes NaN or infinity.
    """

    def __init__(self, fp32: bytes, holdout: Holdout, *, max_drop: float, seed: int) -> None:
        self.holdout, self._max_drop, self._seed = holdout, max_drop, seed
        self._outputs = _outputs(fp32, holdout.pairs)
        self._figures = _figures(holdout.pairs, self._outputs)

    @property
    def signal(self) -> float:
        """Mean square of FP32's output."""
        return float(np.mean([np.mean(output**2) for output in self._outputs]))

    def psnr_db(self, model: bytes, places: Sequence[int]) -> float:
        """PSNR of a model's output against FP32's, of the mean squared error over the pairs at some places."""
        outputs = _outputs(model, [self.holdout.pairs[place] for place in places])
        return psnr_db(squared_errors(outputs, [self._outputs[place] for place in places]).mean())

    def __call__(self, model: bytes) -> Verdict:
        """Judge a model."""
        outputs = _outputs(model, self.holdout.pairs)
        errors = squared_errors(outputs, self._outputs)
        figures = _figures(self.holdout.pairs, outputs)
        lights = np.array([pair.light for pair in self.holdout.pairs])
        kinds = {"all": lights == lights, **{light: lights == light for light in ("day", "night") if light in lights}}
        return Verdict(
            self.holdout,
            self._max_drop,
            psnr_db(errors.mean()),
            psnr_db(errors.max()),
            self.holdout.pairs[int(errors.argmax())].name,
            tuple(self._scenes(name, figures[chosen], self._figures[chosen]) for name, chosen in kinds.items()),
        )

    def _scenes(self, name: str, figures: Figures, exact: Figures) -> SceneClass:
        draws = resampled_means(np.hstack([exact, figures]), seed=self._seed, block=self.holdout.block)
        before, after = np.hsplit(draws, 2)
        means = exact.mean(axis=0), figures.mean(axis=0)
        lows, highs = np.percentile(_relative(before, after), LEVEL, axis=0)
        columns = zip(METRICS, *means, _relative(*means), lows, highs, map(self._budget, METRICS), strict=True)
        return SceneClass(name, len(figures), tuple(Change(name, *map(float, rest)) for name, *rest in columns))

    def _budget(self, metric: str) -> float:
        return self._max_drop * (ARTEFACTS_SHARE if metric == ARTEFACTS else 1)


def _relative(before: Figures, after: Figures) -> Figures:
    """Changes [..., metrics] as shares of ``before``; Nabf's in its own units."""
    absolute = np.array([metric == ARTEFACTS for metric in METRICS])
    return np.asarray((after - before) / np.where(absolute, 1.0, np.maximum(np.abs(before), TINY)))


def _outputs(model: bytes, pairs: Sequence[Judged]) -> list[npt.NDArray[np.float32]]:
    reference = Reference(model)
    return [reference(pair.x)[0] for pair in pairs]


def _figures(pairs: tuple[Judged, ...], outputs: list[npt.NDArray[np.float32]]) -> Figures:
    """[pairs, metrics] of fused luma in whole grey levels, as ``edgefusion evaluate`` has them."""
    rows = []
    for pair, output in zip(pairs, outputs, strict=True):
        sources = {"visible": pair.plane(pair.x[:16]), "thermal": pair.plane(pair.x[16:])}
        scores = fusion_metrics(pair.plane(output), names=METRICS, **sources)
        rows.append([scores[name] for name in METRICS])
    return np.array(rows)


def squared_errors(
    outputs: list[npt.NDArray[np.float32]], exact: list[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float64]:
    """Mean squared error of each output, [pairs], before any rounding."""
    return np.array(
        [np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2) for a, b in zip(outputs, exact, strict=True)]
    )


def psnr_db(error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error of values in 0..1, in dB; 200 where nothing differs."""
    return float(-10 * np.log10(max(error, 1e-20)))
