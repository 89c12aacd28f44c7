"""Many approaches, steered by a detector on every entry's images: computed over several processes, and kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf, isnan, nan

import numba
import numpy as np

from edgefusion.core.frames import FramePair
from edgefusion.core.progress import Advance
from edgefusion.kernels.agc import AgcSpec
from runtime.capture.approach import Approach
from runtime.capture.simulated import SimulatedRig, Size
from runtime.evaluate.braking import Doubles, Eye, Rule, Vehicle, decide, outcome
from runtime.evaluate.detector import DetectorFile, match_classes
from runtime.evaluate.entries import Entry, Fuse
from runtime.evaluate.pool import compute, interrupted
from runtime.evaluate.result import Braking, BrakingCondition, EntryBraking, Interval
from runtime.evaluate.statistics import bootstrap, share
from runtime.evaluate.store import Line, Store, code_version

CONDITIONS = {"night": 0.0, "fog": 0.5}
"""Name -> fog of the simulated rig, all at night; 0.5 is a visibility of 71 m."""

MODEL = (
    "A simulation of ours, not a measurement on a road. Rendered frames of a night drive; a pedestrian crosses, steps "
    "out or walks along in the lane; the road is flat, the cameras' geometry and registration are exact. The vehicle "
    "keeps its speed until somebody's foot was seen in the corridor in enough frames in a row, and a little later "
    "brakes at a constant deceleration until it stands."
)

WORLD = ("runtime.capture", "runtime.capture.night_drive")
"""Packages that draw what is seen."""

Case = tuple[int, float, bool]
"""(seed, fog, whether the pedestrian is there)."""


@dataclass(frozen=True)
class Drill:
    """What every process must know.

    Attributes:
        entries: whose images steer; all of them fuse.
        detector: looks at every image.
        agc: gain control of thermal.
        rule: the controller's.
        vehicle: how it moves.
        visible_size_px, thermal_size_px: of the cameras.
    """

    entries: tuple[Entry, ...]
    detector: DetectorFile
    agc: AgcSpec
    rule: Rule
    vehicle: Vehicle
    visible_size_px: Size = (640, 480)
    thermal_size_px: Size = (320, 256)

    def approach(self, case: Case) -> Approach:
        """One of the approaches."""
        seed, fog, pedestrian = case
        rig = SimulatedRig(seed, self.visible_size_px, self.thermal_size_px, fps=self.rule.fps, fog=fog)
        return Approach(rig, self.vehicle.speed_mps, pedestrian=pedestrian)


@dataclass(frozen=True)
class Task:
    """An approach, and which entries' decisions are missing."""

    case: Case
    missing: tuple[int, ...]


@dataclass(frozen=True)
class Done:
    """When each missing entry decided to brake, in the order of the task's ``missing``."""

    task: Task
    decided_s: tuple[float, ...]


class Bench:
    """Drives approaches in this process."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        # As many threads as this process was given when it was started.
        self._detector = drill.detector.open(threads=numba.get_num_threads())
        self._people = people_of(drill.detector)
        self._opened: dict[int, Fuse] = {}

    def __call__(self, task: Task) -> Done:
        """Every missing entry looks at the same frames."""
        drill = self._drill
        approach = drill.approach(task.case)
        eyes = {str(entry): self._eye(entry) for entry in task.missing}
        decided = decide(approach, eyes, rule=drill.rule, agc=drill.agc)
        return Done(task, tuple(decided[str(entry)] for entry in task.missing))

    def _eye(self, entry: int) -> Eye:
        if entry not in self._opened:
            self._opened[entry] = self._drill.entries[entry].open()
        fuse = self._opened[entry]

        def see(pair: FramePair) -> Doubles:
            found = self._detector(fuse(pair).rgb())
            counts = np.isin(found.classes, self._people) & (found.scores >= self._drill.rule.least_score)
            return np.asarray(found.boxes_px[counts], np.float64)

        return see


def people_of(detector: DetectorFile) -> list[str]:
    """What a detector calls people.

    Raises:
        UsageError: it knows none.
    """
    return list(match_classes(detector.classes, ("person",)))


def drive(
    drill: Drill, *, approaches: int, seed: int, workers: int | None = None, advance: Advance = lambda count: None
) -> Braking:
    """All conditions, each approach with the pedestrian and without; what was driven before is not driven again.

    Args:
        drill: what to compute.
        approaches: how many, from ``seed`` on.
        seed: of the first approach, and of the intervals.
        workers: processes; by default as many as processors.
        advance: told how many of ``drives(approaches)`` were finished.

    Raises:
        EdgeFusionError: a detector or a model that fails.
        RunError: interrupted; what was driven is kept.
    """
    seeds = range(seed, seed + approaches)
    people_of(drill.detector)  # what is wrong shows before any process is started
    drill.approach((seed, 0.0, True))
    decided = _decisions(drill, seeds, workers or os.cpu_count() or 1, advance)
    return Braking(
        detector=drill.detector.path.name,
        approaches=approaches,
        **asdict(drill.rule),
        **asdict(drill.vehicle),
        model=MODEL,
        conditions=[
            BrakingCondition(
                name=name,
                fog=fog,
                entries={
                    entry.name: _figures(drill, seeds, fog, {case: times[number] for case, times in decided.items()})
                    for number, entry in enumerate(drill.entries)
                },
            )
            for name, fog in CONDITIONS.items()
        ],
    )


def drives(approaches: int) -> int:
    """How many drives so many approaches are: each condition, with the pedestrian and without."""
    return approaches * len(CONDITIONS) * 2


def _decisions(drill: Drill, seeds: Sequence[int], workers: int, advance: Advance) -> dict[Case, list[float]]:
    """When each entry decided to brake, in every case."""
    stores = [Store(_identity(drill, entry)) for entry in drill.entries]
    cases = [(seed, fog, there) for fog in CONDITIONS.values() for there in (True, False) for seed in seeds]
    decided = {case: [nan] * len(stores) for case in cases}
    digests = {_digest(drill, case): case for case in cases}
    for number, store in enumerate(stores):
        for line in store.read():
            if line.digest in digests:
                decided[digests[line.digest]][number] = line.values["decided_s"]
    missing = {case: tuple(np.flatnonzero(np.isnan(times)).tolist()) for case, times in decided.items()}
    tasks = [Task(case, entries) for case, entries in missing.items() if entries]
    advance(len(cases) - len(tasks))
    try:
        for done in compute(partial(Bench, drill), tasks, workers=workers):
            for number, decided_s in zip(done.task.missing, done.decided_s, strict=True):
                stores[number].append(Line(_digest(drill, done.task.case), "", 0.0, {"decided_s": decided_s}))
                decided[done.task.case][number] = decided_s
            advance(1)
    except KeyboardInterrupt:
        left = sum(any(map(isnan, times)) for times in decided.values())
        raise interrupted("drives", kept=len(cases) - left, total=len(cases)) from None
    return decided


def _figures(drill: Drill, seeds: Sequence[int], fog: float, decided: dict[Case, float]) -> EntryBraking:
    """Of one entry in one condition."""
    runs = [outcome(drill.approach((seed, fog, True)), drill.vehicle, decided[seed, fog, True]) for seed in seeds]
    means = bootstrap(np.array([[run.margin_m, run.impact_mps] for run in runs]), seed=seeds[0])
    margin, impact = (Interval(mean=mean, low=low, high=high) for mean, low, high in np.array(means).T.tolist())
    return EntryBraking(
        collisions=_share(sum(run.impact_mps > 0 for run in runs), len(runs)),
        margin_m=margin,
        impact_mps=impact,
        false_brakes=_share(sum(decided[seed, fog, False] < inf for seed in seeds), len(runs)),
        runs=runs,
    )


def _share(count: int, total: int) -> Interval:
    mean, low, high = share(count, total)
    return Interval(mean=mean, low=low, high=high)


def _identity(drill: Drill, entry: Entry) -> str:
    """What an entry's decisions depend on, beside the approach."""
    return json.dumps(["braking", entry.identity, drill.detector.identity, repr(drill.agc), code_version(*WORLD)])


def _digest(drill: Drill, case: Case) -> str:
    """Of an approach, and of what decides in it. How the vehicle brakes has no part in it, but its speed has."""
    given = [*case, drill.vehicle.speed_mps, asdict(drill.rule), drill.visible_size_px, drill.thermal_size_px]
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()
