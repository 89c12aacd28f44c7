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
        kind: ``student``, ``folder``, ``video`` or ``baseline``.
        facts: of a student: precision, compute, backend, device.
        metrics: metric -> mean over all pairs.
        scenes: the same for pairs of each scene.
        ranks: metric -> place, 1 the best.
        rank: mean of the places; 0 without pairs.
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
    """A sweep: entry -> metric -> a mean for each strength, in their order. Entries of stored images are not in it.

    With a detector, AP50 stands beside the metrics.
    """

    kind: str
    unit: str
    strengths: list[float]
    entries: dict[str, dict[str, list[Interval]]]


class ClassScores(_Part):
    """A detector's figures for one class, or the mean over classes.

    Attributes:
        truths: true boxes, without crowds.
        figures: figure (``edgefusion.metrics.detection.FIGURES``) -> value and interval over images; None where there
            was nothing to find.
    """

    truths: int
    figures: dict[str, Interval | None]


class EntryDetection(_Part):
    """What a frozen detector finds in one entry's images.

    Attributes:
        overall: mean over classes.
        classes: class -> its figures.
        against_visible: figure -> this entry's less that of the visible picture, with the interval of the difference
            over the same drawn images; empty for visible itself, None where there was nothing to find.
    """

    overall: ClassScores
    classes: dict[str, ClassScores]
    against_visible: dict[str, Interval | None]


class Detection(_Part):
    """A frozen detector on every entry's images, and on visible and thermal alone.

    Attributes:
        detector: the file's name.
        layout: of its output.
        truth: where the true boxes come from.
        images: how many with known truth.
        unknown_classes: label classes that the detector does not know; they are not judged.
        entries: name -> figures.
    """

    detector: str
    layout: str
    truth: str
    images: int
    unknown_classes: list[str]
    entries: dict[str, EntryDetection]


class EntryStability(_Part):
    """Flicker of one entry's clip, in grey levels.

    Attributes:
        flicker: mean over the steps from frame to frame; the interval is a bootstrap over blocks of frames.
        p95: 95th percentile of the steps.
        steps: each step's; None where the scene changes.
    """

    flicker: Interval
    p95: float
    steps: list[float | None]


class Stability(_Part):
    """Change from frame to frame that is not motion, of every entry and of visible and thermal alone.

    Attributes:
        guide: the clip whose motion is compensated.
        fps: frames a second of the clip.
        entries: name -> flicker.
    """

    guide: str
    fps: float
    entries: dict[str, EntryStability]


class EntryTracking(_Part):
    """Tracks through one entry's clip.

    Attributes:
        tracks: how many were begun.
        median_frames: of their lengths.
        truths, matches, misses, false_positives, switches, accuracy: CLEAR MOT sums over the clip and MOTA; None
            where the true boxes are not known.
    """

    tracks: int
    median_frames: float
    truths: int | None = None
    matches: int | None = None
    misses: int | None = None
    false_positives: int | None = None
    switches: int | None = None
    accuracy: float | None = None


class Tracking(_Part):
    """A tracker on the detector's boxes in every entry's clip.

    Attributes:
        tracker: which one, with its settings.
        least_score: detections below are not tracked.
        truth: where true identities come from, or None.
        classes: what is tracked.
        entries: name -> figures.
    """

    tracker: str
    least_score: float
    truth: str | None
    classes: list[str]
    entries: dict[str, EntryTracking]


class BrakingRun(_Part):
    """One simulated approach to a pedestrian.

    Attributes:
        seed: which one.
        zone: what surrounds the road: town, wood or field.
        manner: what the pedestrian does: crosses, steps out or walks along.
        margin_m: the least distance to the pedestrian while they were in the vehicle's path, or where it stood if they
            were not. Negative after a collision: less what the vehicle would still have needed to stand.
        impact_mps: speed at the collision, 0 without one.
        braked_at_m: distance when it decided to brake, None if never.
    """

    seed: int
    zone: str
    manner: str
    margin_m: float
    impact_mps: float
    braked_at_m: float | None


class EntryBraking(_Part):
    """Approaches steered by a detector on one entry's images.

    Attributes:
        collisions: share of runs that ended in one; the interval is Wilson's.
        margin_m: mean stopping margin; the interval is a bootstrap over runs.
        impact_mps: mean speed at the collision, over all runs.
        false_brakes: share of runs without a pedestrian in which it decided to brake; the interval is Wilson's.
        runs: each one with a pedestrian.
    """

    collisions: Interval
    margin_m: Interval
    impact_mps: Interval
    false_brakes: Interval
    runs: list[BrakingRun]


class BrakingCondition(_Part):
    """One kind of weather: ``fog`` of the simulated rig, and entry -> figures."""

    name: str
    fog: float
    entries: dict[str, EntryBraking]


class Braking(_Part):
    """Closed loop on the simulated rig: a simulation of ours, not a measurement on a road.

    Attributes:
        detector: the file's name.
        approaches: how many, each once with the pedestrian and once without, in each condition.
        least_score: of a detection that counts, the same for every entry.
        fps: frames a second that are looked at.
        speed_mps: of the vehicle at the start.
        deceleration_mps2: when braking.
        reaction_s: from decision to deceleration.
        confirm_frames: consecutive frames with a person in the corridor until it decides.
        corridor_m: its width, about the middle of the lane.
        horizon_s: its length, in seconds at the present speed.
        model: the assumptions in words.
        conditions: in the order simulated.
    """

    detector: str
    approaches: int
    least_score: float
    fps: float
    speed_mps: float
    deceleration_mps2: float
    reaction_s: float
    confirm_frames: int
    corridor_m: float
    horizon_s: float
    model: str
    conditions: list[BrakingCondition]


class Evaluation(_Part):
    """Everything, schema 1. ``entries`` are in the order given; ``computed`` images were not in the cache.

    ``pairs`` are frames where the source is a clip; ``block`` of them in a row, a second, then count as one draw.

    The parts that were not asked for, or that the source has no truth for, are None.
    """

    schema_version: int = Field(alias="schema")
    pairs: int
    source: str
    left_out: list[str]
    scenes: dict[Scene, int]
    metrics: list[str]
    lower_is_better: list[str]
    seed: int
    resamples: int
    block: int = 1
    computed: int
    seconds: float
    edgefusion: str
    entries: list[EntryResult]
    curves: list[Curve]
    per_pair: list[PairResult]
    detection: Detection | None = None
    stability: Stability | None = None
    tracking: Tracking | None = None
    braking: Braking | None = None
