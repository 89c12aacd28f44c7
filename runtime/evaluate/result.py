"""The result of an evaluation, as ``--json`` prints it and the page shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1

Scene = Literal["day", "night"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Interval(_Part):
    """A mean over pairs and its 95 % interval."""

    mean: float
    low: float
    high: float


class Comparison(_Part):
    """An entry against another one, in one metric, over the same pairs.

    Attributes:
        against: the other entry.
        difference: mean of this entry's figure less the other's.
        p: of Wilcoxon's signed-rank test.
        p_holm: corrected for the number of comparisons of this kind in the evaluation.
    """

    against: str
    difference: float
    p: float
    p_holm: float


class EntryResult(_Part):
    """One entry.

    Attributes:
        kind: ``student``, ``folder`` or ``baseline``.
        facts: of a student: precision, compute, backend, device.
        metrics: metric -> mean over all pairs.
        scenes: the same for pairs of each scene.
        ranks: metric -> place, 1 the best.
        rank: mean of the places.
        against_first: metric -> comparison with the first entry; empty for that entry.
        against_best: metric -> comparison with the best other entry in that metric.
    """

    name: str
    kind: str
    facts: dict[str, str]
    metrics: dict[str, Interval]
    scenes: dict[Scene, dict[str, Interval]]
    ranks: dict[str, int]
    rank: float
    against_first: dict[str, Comparison]
    against_best: dict[str, Comparison]


class PairResult(_Part):
    """One pair: its pictures, its scene, and entry -> metric -> figure."""

    name: str
    visible: str
    thermal: str
    scene: Scene
    luma: float = Field(description="mean luma of the visible picture, grey levels")
    values: dict[str, dict[str, float]]


class Curve(_Part):
    """A sweep: entry -> metric -> a mean for each strength, in their order. Entries of stored images are not in it."""

    kind: str
    unit: str
    strengths: list[float]
    entries: dict[str, dict[str, list[Interval]]]


class Evaluation(_Part):
    """Everything, schema 1. ``entries`` are in the order given; ``computed`` images were not in the cache."""

    schema_version: int = Field(alias="schema")
    pairs: int
    source: str
    left_out: list[str]
    scenes: dict[Scene, int]
    metrics: list[str]
    lower_is_better: list[str]
    seed: int
    resamples: int
    computed: int
    seconds: float
    edgefusion: str
    entries: list[EntryResult]
    curves: list[Curve]
    per_pair: list[PairResult]
