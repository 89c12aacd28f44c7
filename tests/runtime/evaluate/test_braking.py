"""Braking: the physics is exact, an eye that sees all stops, one that sees nothing does not, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from detectors import constant_model
from numpy.typing import NDArray

from edgefusion.core.errors import RunError
from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.core.geometry import Registration
from edgefusion.kernels.agc import AgcSpec
from runtime.capture.approach import LEAD_S, Approach
from runtime.capture.simulated import THERMAL_BITS, SimulatedRig
from runtime.evaluate import approaches
from runtime.evaluate.approaches import Drill, drive, drives
from runtime.evaluate.baselines import BASELINES
from runtime.evaluate.braking import Rule, Vehicle, decide, outcome
from runtime.evaluate.detector import Detector, DetectorFile
from runtime.evaluate.entries import Baseline
from runtime.evaluate.statistics import share
from runtime.evaluate.views import RegisteredThermal, SteadyGain

Boxes = NDArray[np.float64]
VEHICLE, RULE = Vehicle(), Rule()
SIZES = {"visible_size_px": (128, 96), "thermal_size_px": (64, 52)}
STEPS_OUT, WALKS_ALONG = 4, 7


def approach_of(seed: int, *, pedestrian: bool = True) -> Approach:
    return Approach(SimulatedRig(seed=seed, fps=10, **SIZES), VEHICLE.speed_mps, pedestrian=pedestrian)


def oracle(approach: Approach) -> Callable[[FramePair], Boxes]:
    """Sees the pedestrian's true box and nothing else."""

    def see(pair: FramePair) -> Boxes:
        time_s = pair.visible.sequence / RULE.fps
        box = approach.pedestrian_box(time_s, VEHICLE.speed_mps * time_s)
        return np.array([(box.x0, box.y0, box.x1, box.y1)] if box else []).reshape(-1, 4) + 0.5

    return see


def blind(pair: FramePair) -> Boxes:
    return np.zeros((0, 4))


def test_an_oracle_stops_in_time_and_the_blind_always_collide() -> None:
    for seed in range(9):
        approach = approach_of(seed)
        decided = decide(approach, {"oracle": oracle(approach), "blind": blind}, rule=RULE)
        assert decided["blind"] == inf
        seeing, unseeing = (outcome(approach, VEHICLE, decided[name]) for name in ("oracle", "blind"))
        assert seeing.margin_m > 0
        assert seeing.impact_mps == 0
        assert unseeing.impact_mps == VEHICLE.speed_mps
        assert unseeing.margin_m == pytest.approx(-VEHICLE.to_stand_m)
        assert unseeing.braked_at_m is None


@pytest.mark.parametrize("decided_s", [2.6, 3.0, 3.4, 3.9, 4.3])
def test_the_margin_before_somebody_who_stands_is_that_of_the_textbook(decided_s: float) -> None:
    """Gap less reaction and braking distance; below zero that is what the vehicle would still have needed."""
    run = outcome(approach_of(STEPS_OUT), VEHICLE, decided_s)
    speed, gap = VEHICLE.speed_mps, VEHICLE.speed_mps * (LEAD_S - decided_s)
    expected = gap - speed * VEHICLE.reaction_s - speed**2 / (2 * VEHICLE.deceleration_mps2)
    assert run.braked_at_m == pytest.approx(gap)
    assert run.margin_m == pytest.approx(expected, abs=0.01)
    left = speed**2 - 2 * VEHICLE.deceleration_mps2 * max(gap - speed * VEHICLE.reaction_s, 0)
    assert run.impact_mps == pytest.approx(max(left, 0) ** 0.5, abs=0.01)


def test_who_walks_on_before_the_vehicle_leaves_room() -> None:
    """The least distance is that at which both go equally fast."""
    approach, decided_s = approach_of(WALKS_ALONG), 2.0
    assert approach.manner == "walks along"
    walked = float(approach.gap_m(1.0, 0.0) - approach.gap_m(0.0, 0.0))
    relative = VEHICLE.speed_mps - walked
    gap = float(approach.gap_m(decided_s, VEHICLE.speed_mps * decided_s))
    expected = gap - relative * VEHICLE.reaction_s - relative**2 / (2 * VEHICLE.deceleration_mps2)
    if walked < 0:  # towards the vehicle: it stands before they are equally fast
        stop_s = VEHICLE.reaction_s + VEHICLE.speed_mps / VEHICLE.deceleration_mps2
        expected = gap - VEHICLE.to_stand_m + walked * stop_s
    assert outcome(approach, VEHICLE, decided_s).margin_m == pytest.approx(expected, abs=0.01)


def test_braking_takes_its_time() -> None:
    vehicle = Vehicle(speed_mps=10, deceleration_mps2=5, reaction_s=0.5)
    assert vehicle.travelled([1.0, 1.5, 2.5, 3.5, 9.0], 1.0) == pytest.approx([10, 15, 22.5, 25, 25])
    assert [vehicle.speed(time_s, 1.0) for time_s in (1.5, 2.5, 3.5, 9.0)] == pytest.approx([10, 5, 0, 0])
    assert vehicle.to_stand_m == 15
    assert vehicle.stands_s(1.0) == 3.5


def test_frames_in_a_row_decide() -> None:
    approach = approach_of(WALKS_ALONG)
    see = oracle(approach)

    def now_and_then(pair: FramePair) -> Boxes:
        return see(pair) if pair.visible.sequence % 3 else blind(pair)

    slow, quick = Rule(confirm_frames=3), Rule(confirm_frames=2)
    assert decide(approach, {"x": now_and_then}, rule=slow)["x"] == inf
    assert decide(approach, {"x": now_and_then}, rule=quick)["x"] < LEAD_S
    sure = decide(approach, {"x": see}, rule=slow)["x"], decide(approach, {"x": see}, rule=quick)["x"]
    assert sure[0] - sure[1] == pytest.approx(1 / RULE.fps)


def test_people_beside_the_road_are_no_reason_to_brake() -> None:
    for seed in (0, 4, 8):
        approach = approach_of(seed, pedestrian=False)

        def bystanders(pair: FramePair, approach: Approach = approach) -> Boxes:
            time_s = pair.visible.sequence / RULE.fps
            boxes = approach.boxes(time_s, VEHICLE.speed_mps * time_s)
            people = [(box.x0, box.y0, box.x1, box.y1) for box in boxes if box.label == "person"]
            return np.array(people).reshape(-1, 4) + 0.5

        assert decide(approach, {"all": bystanders}, rule=RULE)["all"] == inf


def test_thermal_lies_over_visible_and_its_range_follows_slowly() -> None:
    approach = Approach(SimulatedRig(seed=2, fps=10), VEHICLE.speed_mps)
    gain = SteadyGain(AgcSpec(), PixelFormat.Y16, bits=THERMAL_BITS)
    registered = RegisteredThermal(Registration(approach.rig.registration), bits=THERMAL_BITS)
    given = approach.render(3.0, 25.0)
    low, high = gain.range(given.thermal)
    first = registered(given, low=low, high=high)
    assert first.thermal.size_px == first.visible.size_px
    box = approach.pedestrian_box(3.0, 25.0)
    assert box is not None
    x0, y0, x1, y1 = (round(edge) for edge in (box.x0, box.y0, box.x1, box.y1))
    levels = first.thermal.pixels.astype(int)
    head = levels[y0 : y0 + (y1 - y0) // 6, x0 : x1 + 1]
    assert head.max() > np.median(levels[y0:y1, x1 + 4 : x1 + 12]) + 40
    assert head.max() > levels[y0 - 8 : y0 - 3, x0 : x1 + 1].max() + 40
    dark = approach.render(4.3, 35.0)
    assert gain.range(dark.thermal) != pytest.approx(
        SteadyGain(AgcSpec(), PixelFormat.Y16, bits=THERMAL_BITS).range(dark.thermal)
    )


def test_a_share_of_few_stays_open() -> None:
    mean, low, high = share(0, 10)
    assert (mean, low) == (0, 0)
    assert high == pytest.approx(0.2775, abs=1e-4)  # Wilson: z^2 / (n + z^2)


def always(path: Path, person: float, *, names: tuple[str, str] = ("person", "car")) -> Path:
    """A detector that sees one thing 10 m or so ahead in the lane in every image: a person, or rather the other."""
    output = np.zeros((1, 6, 84), np.float32)
    output[0, :, 3] = (32, 36, 4, 14, person, 0.9 - person)
    return constant_model(path, output, names=dict(enumerate(names)))


@pytest.fixture
def ahead(tmp_path: Path) -> Path:
    return always(tmp_path / "ahead.onnx", 0.9)


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    return always(tmp_path / "nobody.onnx", 0.0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))


def drill_of(detector: Path) -> Drill:
    entries = tuple(Baseline(name, AgcSpec()) for name in ("visible", "thermal"))
    return Drill(entries, DetectorFile.of(Detector(detector)), AgcSpec(), RULE, VEHICLE, **SIZES)


@pytest.mark.usefixtures("cache")
def test_false_brakes_are_counted(ahead: Path, nobody: Path) -> None:
    every = drive(drill_of(ahead), approaches=1, seed=5, workers=1)
    never = drive(drill_of(nobody), approaches=1, seed=5, workers=1)
    for condition in every.conditions:
        for entry in condition.entries.values():
            assert entry.false_brakes.mean == 1
            assert entry.collisions.mean == 0
    for condition in never.conditions:
        for entry in condition.entries.values():
            assert entry.false_brakes.mean == 0
            assert entry.collisions.mean == 1
            assert entry.margin_m.mean == pytest.approx(-VEHICLE.to_stand_m)
            assert [run.seed for run in entry.runs] == [5]


@pytest.mark.usefixtures("cache")
def test_what_was_driven_is_not_driven_again(ahead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(count: int) -> None:
        finished.append(count)
        if sum(finished) == 3:
            raise KeyboardInterrupt

    finished: list[int] = []
    with pytest.raises(RunError, match="interrupted; 3 of 8 drives"):
        drive(drill_of(ahead), approaches=2, seed=0, workers=1, advance=interrupted)
    rest: list[int] = []
    result = drive(drill_of(ahead), approaches=2, seed=0, workers=1, advance=rest.append)
    assert rest == [3, *[1] * (drives(2) - 3)]
    monkeypatch.setattr(approaches, "compute", lambda make, tasks, workers: iter(tasks and [pytest.fail("again")]))
    assert drive(drill_of(ahead), approaches=2, seed=0, workers=1) == result


@pytest.mark.usefixtures("cache")
def test_processes_do_not_change_the_result(ahead: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = drive(drill_of(ahead), approaches=1, seed=3, workers=2)
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "another"))
    assert drive(drill_of(ahead), approaches=1, seed=3, workers=1) == several


@pytest.mark.usefixtures("cache")
def test_the_command(edgefusion: Callable[..., Result], ahead: Path, tmp_path: Path) -> None:
    words = ("evaluate", "--brake", 1, "--detector", ahead, "--precision", "fp32", "--workers", 1)
    done = edgefusion(*words, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    braking = result["braking"]
    assert result["pairs"] == 0
    assert [condition["name"] for condition in braking["conditions"]] == ["night", "fog"]
    names = {entry["name"] for entry in result["entries"]}
    assert names == {"proxy-nano fp32", *BASELINES}
    for condition in braking["conditions"]:
        assert condition["entries"].keys() == names
    assert "simulation of ours" in braking["model"]
    table = edgefusion(*words, "--html", tmp_path / "page.html")
    assert table.exit_code == 0, table.output
    assert "simulation of ours" in (tmp_path / "page.html").read_text()
    assert "ahead.onnx" in table.output
    assert "simulation of ours" in table.output


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("--brake", 2), "--detector"),
        ((), "--pairs"),
        (("--brake", 2, "--detector", "x.onnx", "--misalign", "px=0:2:1"), "are for pairs"),
    ],
)
def test_what_is_missing_is_said(edgefusion: Callable[..., Result], words: tuple[object, ...], remedy: str) -> None:
    done = edgefusion("evaluate", *words)
    assert done.exit_code == 2, done.output
    assert remedy in done.stderr


@pytest.mark.parametrize("kmh", [0, -5, 73])
def test_a_speed_that_cannot_be_driven(edgefusion: Callable[..., Result], ahead: Path, kmh: int) -> None:
    done = edgefusion("evaluate", "--brake", 1, "--detector", ahead, "--brake-kmh", kmh)
    assert done.exit_code == 2, done.output


def test_a_detector_that_knows_no_people(edgefusion: Callable[..., Result], tmp_path: Path) -> None:
    model = always(tmp_path / "m.onnx", 0.0, names=("boat", "car"))
    done = edgefusion("evaluate", "--brake", 1, "--detector", model)
    assert done.exit_code == 2, done.output
    assert "person" in done.stderr
