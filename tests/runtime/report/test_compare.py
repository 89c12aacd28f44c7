from __future__ import annotations

import numpy as np
import pytest
from records import complete, desktop, killed, record, short_run, summed_rails, throttled, without_power

from runtime.report.compare import Comparison, Difference, block_length, compare
from runtime.report.schema import RunRecord

FIRST = complete()


def one(other: RunRecord) -> Comparison:
    (found,) = compare(FIRST, [("other.json", other)])
    return found


def differences(other: RunRecord) -> dict[str, Difference]:
    return {row.figure.name: row for row in one(other).differences}


def test_a_slower_engine_is_told_apart() -> None:
    rows = differences(record(seed=5, slower=1.08))
    for name in ("p50_ms", "p90_ms", "p99_ms"):
        assert rows[name].verdict == "worse", name
        interval = rows[name].interval
        assert interval
        assert interval[0] < (rows[name].change or 0) < interval[1]
    assert rows["w_mean"].verdict == "not told apart"


def test_a_difference_is_still_told_apart_among_eight_runs() -> None:
    slower = record(seed=5, slower=1.08)
    for other in compare(FIRST, [(f"{number}.json", slower) for number in range(8)]):
        assert {row.figure.name for row in other.differences if row.told_apart} == {"p50_ms", "p90_ms", "p99_ms"}


def test_a_faster_one_is_better() -> None:
    assert differences(record(seed=5, slower=0.9))["p99_ms"].verdict == "better"


def test_the_same_run_again_is_not_told_apart() -> None:
    found = compare(FIRST, [(f"{seed}.json", record(seed=seed)) for seed in range(6, 10)])
    judged = [row for other in found for row in other.differences if row.p is not None]
    assert len(judged) == 4 * 9
    assert not [row for row in judged if row.told_apart]


def test_less_power_is_told_apart_though_both_warm_up() -> None:
    rows = differences(record(seed=5, rails={"VDD_IN": 12_000.0, "VDD_CPU_GPU_CV": 6_100.0, "VDD_SOC": 2_900.0}))
    assert rows["w_mean"].verdict == "better"
    assert rows["j_per_frame"].verdict == "better"


def test_nothing_is_claimed_where_whole_runs_differ_the_other_way_than_their_common_seconds() -> None:
    """Two minutes are cold throughout: ten minutes of a run that draws 3 % less are warmer, and draw more."""
    rails = {"VDD_IN": 12_028.0, "VDD_CPU_GPU_CV": 5_917.0, "VDD_SOC": 2_813.0}
    (found,) = compare(record(seconds=120), [("longer.json", record(seed=5, rails=rails))])
    rows = {row.figure.name: row for row in found.differences}
    for name in ("w_mean", "j_per_frame"):
        row = rows[name]
        assert row.interval, name
        assert row.interval[1] < 0 < (row.change or 0), name
        assert row.verdict.startswith("not judged: the seconds in common"), name
        assert not row.told_apart


def dropping(seconds: int, each: int) -> RunRecord:
    """A run that loses so many frames every second."""
    run = record(seconds=seconds)
    assert run.timeline
    entries = [second.model_copy(update={"dropped": each}) for second in run.timeline.seconds]
    return run.model_copy(
        update={
            "counts": run.counts.model_copy(update={"dropped": {"late": each * seconds}}),
            "timeline": run.timeline.model_copy(update={"seconds": entries}),
        }
    )


@pytest.mark.parametrize(("each", "verdict"), [(3, "not told apart"), (2, "better"), (4, "worse")])
def test_dropped_frames_are_compared_by_the_second_whatever_the_lengths(each: int, verdict: str) -> None:
    (found,) = compare(dropping(600, 3), [("shorter.json", dropping(540, each))])
    row = next(row for row in found.differences if row.figure.name == "dropped_per_s")
    assert (row.verdict, row.change) == (verdict, each - 3)


def test_nothing_is_claimed_on_too_little_data() -> None:
    rows = differences(short_run(slower=1.5))
    assert rows["p99_ms"].verdict.startswith("hidden: too few frames")
    assert rows["p50_ms"].verdict == "too little data: 4 entries in common, needs 60"
    assert not any(row.told_apart for row in rows.values())


def test_nothing_is_claimed_where_one_run_changed_in_its_course() -> None:
    rows = differences(throttled())
    assert rows["p50_ms"].verdict == "too little data: the difference is not steady"
    assert rows["p50_ms"].interval is None


def test_nothing_is_claimed_without_a_timeline_or_between_different_steps() -> None:
    assert "nothing recorded through time" in differences(complete(timeline=None))["fps"].verdict
    assert "steps of 1 and 10 s" in differences(record(step_s=10.0))["fps"].verdict


def test_what_was_not_measured_in_both_is_said() -> None:
    rows = differences(without_power())
    assert rows["j_per_frame"].verdict == "not measured in both"
    assert rows["j_per_frame"].shown[1] == "\N{EN DASH}"


def test_warnings_name_what_differs() -> None:
    engine = FIRST.engine.model_copy(update={"device": "orin-nano-8", "precision": "fp16", "key": "another"})
    software = FIRST.software.model_copy(update={"power_mode": "15W", "jetpack": None})
    other = complete(engine=engine, software=software, width=640, height=480, source="drive.mcap")
    text = "\n".join(one(other).warnings)
    for word in ("device", "power mode", "precision", "engine", "size", "source", "JetPack"):
        assert f"{word} differs: " in text
    assert "power mode differs: 15W here, 25W in the first run" in text
    assert "JetPack differs: unknown here, 6.1 in the first run" in text
    assert one(record(seed=6)).warnings == []


def test_warnings_of_state_length_scope_and_warmth() -> None:
    text = "\n".join(one(killed()).warnings)
    assert "this run was killed after 240 s" in text
    assert "lengths differ: 240 s here, 600 s in the first run" in text
    assert "scope of power differs: sum of rails here, module input" in "\n".join(one(summed_rails()).warnings)
    text = "\n".join(one(desktop()).warnings)
    assert "meter differs: nvml + rapl here, hwmon in the first run" in text
    assert "scope of power differs: GPU board + package here, module input in the first run" in text
    assert FIRST.timeline
    warm = [one.model_copy(update={"temperatures_c": {"gpu": 70.0}}) for one in FIRST.timeline.seconds]
    hot = complete(timeline=FIRST.timeline.model_copy(update={"seconds": warm}))
    assert any("temperature at the start differs: +23" in warning for warning in one(hot).warnings)


@pytest.mark.parametrize(("drag", "least", "most"), [(0.0, 5, 5), (0.97, 20, 150)])
def test_blocks_are_as_long_as_seconds_depend_on_each_other(drag: float, least: int, most: int) -> None:
    draw = np.random.default_rng(0)
    series = np.zeros(2000)
    for place in range(1, len(series)):
        series[place] = drag * series[place - 1] + draw.normal()
    assert least <= block_length(series) <= most
    assert block_length(np.ones(100)) == 5


def test_false_alarms_are_rare() -> None:
    """Of slow, wandering differences around nought, few are told apart: the interval is honest."""
    from runtime.report.compare import FEWEST_BLOCKS, _judge

    draw, alarms, judged = np.random.default_rng(1), 0, 0
    for _ in range(40):
        series = np.zeros(600)
        for place in range(1, len(series)):
            series[place] = 0.8 * series[place - 1] + draw.normal()
        if len(series) // block_length(series) >= FEWEST_BLOCKS:
            judged += 1
            alarms += _judge(series)[1] < 0.05
    assert judged > 30
    assert alarms <= 7  # 5 % of 40, and what chance and short blocks add
