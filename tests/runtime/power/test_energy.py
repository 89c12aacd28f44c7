"""Energy per frame, by hand."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from runtime.power.energy import Block, choose, energy, interval
from runtime.report import schema


def meter(name="hwmon", scope="module input", joules: float | None = 100.0, **facts) -> schema.Meter:
    values = {"total": "VDD_IN", "interval_ms": 34.0, "samples": 9, "missed": 0, "coverage": 1.0, "rails": []}
    return schema.Meter(name=name, scope=scope, joules=joules, **(values | facts))


def test_gross_net_and_per_watt() -> None:
    cost = energy([meter(idle_mw=4000.0)], 500, seconds=10.0, stages_ms={"pack": 1.0, "execute": 3.0})
    assert cost is not None
    assert (cost.meter, cost.scope, cost.frames) == ("hwmon", "module input", 500)
    assert cost.gross_mj == pytest.approx(200)  # 100 J / 500
    assert cost.net_mj == pytest.approx(120)  # (100 J - 4 W x 10 s) / 500
    assert cost.fps_per_w == pytest.approx(5)  # 50 fps / 10 W
    assert cost.stages_mj == pytest.approx({"pack": 50, "execute": 150})
    assert cost.interval_mj is None


def test_without_a_baseline_there_is_no_net() -> None:
    cost = energy([meter()], 500, seconds=10.0)
    assert cost is not None
    assert cost.net_mj is None


@pytest.mark.parametrize("meters", [[], [meter(joules=None)], [meter(coverage=0.5)], [meter(scope="rails")]])
def test_what_is_not_measured_has_no_energy(meters: list[schema.Meter]) -> None:
    assert energy(meters, 500, seconds=10.0) is None


def test_no_frame_has_no_energy() -> None:
    assert energy([meter()], 0, seconds=10.0) is None


def test_what_was_missed_counts_like_the_rest() -> None:
    cost = energy([meter(joules=95.0, coverage=0.95)], 500, seconds=10.0)
    assert cost is not None
    assert cost.gross_mj == pytest.approx(200)


def test_the_widest_scope_is_chosen() -> None:
    rails, board = meter(scope="sum of rails"), meter("other", scope="board input")
    assert choose([rails, board]) == [board]


def test_gpu_and_processor_of_a_desktop_are_added() -> None:
    meters = [meter("rapl", "package", 20.0, idle_mw=500.0), meter("nvml", "GPU board", 80.0, idle_mw=1500.0)]
    cost = energy(meters, 500, seconds=10.0)
    assert cost is not None
    assert (cost.meter, cost.scope) == ("nvml + rapl", "GPU board + package")
    assert (cost.gross_mj, cost.net_mj) == pytest.approx((200, 160))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(3)
    runs = [[Block(chance.gauss(30.0, 3.0), 100) for _ in range(8)] for _ in range(1000)]
    held = sum(low <= 300.0 <= high for low, high in map(interval, runs))
    assert 0.93 < held / len(runs) < 0.97


def test_an_interval_is_around_its_estimate_where_the_meter_missed_a_part() -> None:
    blocks = [Block(19.0 + 0.01 * (number % 2), 100) for number in range(6)]
    cost = energy([meter(joules=114.03, coverage=0.95)], 600, seconds=10.0, blocks=blocks)
    assert cost is not None
    assert cost.interval_mj is not None
    low, high = cost.interval_mj
    assert cost.gross_mj == pytest.approx(200.05, abs=0.01)
    assert low < cost.gross_mj < high
    raw_low, raw_high = interval(blocks) or (0, 0)
    assert (high - low) / cost.gross_mj == pytest.approx((raw_high - raw_low) / 190.05, rel=1e-4)


def test_few_blocks_have_no_interval() -> None:
    assert interval([Block(1.0, 10)] * 4) is None
    assert interval([Block(1.0, 0)] * 9) is None


def test_an_interval_in_mid_run_imports_nothing() -> None:
    code = (
        "import sys; from runtime.power.energy import Block, interval; before = set(sys.modules); "
        "interval([Block(1.0 + n, 10) for n in range(9)]); print(sorted(set(sys.modules) - before))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
