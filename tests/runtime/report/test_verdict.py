from __future__ import annotations

import numpy as np
import pytest
from records import complete, desktop, histogram, killed, record, short_run, summed_rails, throttled, without_power

from runtime.report.figures import figures, power_w
from runtime.report.schema import Meter, Rail, RunRecord
from runtime.report.verdict import bound, headline, verdict


def findings(run: RunRecord) -> dict[str, str]:
    return dict(verdict(run).findings)


def test_one_sentence_says_what_a_run_comes_to() -> None:
    assert headline(complete()) == (
        "30 fps, p99 15.1 ms, 17 misses in 600 s, 0.401 J/frame (module input); bound by the pace of 30 fps"
    )


def test_a_run_at_full_speed_is_bound_by_its_slowest_stage() -> None:
    free = complete().model_copy(update={"paced_fps": None, "fps": 84.0})
    assert bound(free) == "bound by source"
    stages = {name: found for name, found in free.latency.stages.items() if name != "source"}
    busy = free.model_copy(update={"latency": free.latency.model_copy(update={"stages": stages})})
    assert bound(busy) == "bound by execute"
    assert bound(complete().model_copy(update={"fps": 20.0})) == "bound by source"  # it did not keep the pace


def test_what_was_not_measured_is_said() -> None:
    run = without_power(deadline_ms=None, timeline=None)
    assert "power not measured" in headline(run)
    assert "12 dropped in 600 s" in headline(run)
    assert findings(run)["Energy"] == "not measured"
    assert findings(run)["Heat"] == "temperatures not measured; throttling not measured."
    assert findings(run)["Deadline"] == "none was set"
    assert any("Nothing was recorded through time" in caution for caution in verdict(run).cautions)


def test_power_without_energy_is_told_in_watts() -> None:
    run = complete(energy=None)
    assert "12 W (module input)" in headline(run)
    assert "energy per frame not measured" in findings(run)["Energy"]


def test_a_killed_run_says_so_first() -> None:
    found = verdict(killed())
    assert found.headline.startswith("Unfinished run: ")
    assert "was not recorded: it was killed" in found.alarms[0]
    assert verdict(complete(state="interrupted")).headline.startswith("Interrupted run: ")
    assert not verdict(complete()).alarms


def test_hidden_percentiles_are_explained() -> None:
    found = verdict(short_run())
    assert ", p90 13.1 ms," in found.headline
    (hidden,) = [caution for caution in found.cautions if "hidden" in caution]
    assert "p99 1,000, p99.9 10,000; counted: 120" in hidden
    assert any("too short" in caution for caution in found.cautions)


def test_a_sum_of_rails_is_no_total() -> None:
    found = verdict(summed_rails())
    assert "J/frame (sum of rails)" in found.headline
    assert any("VDD_GPU_SOC" in caution and "less than the supply" in caution for caution in found.cautions)


def test_a_sum_that_lacks_a_rail_is_not_shown_as_the_sum() -> None:
    (meter,) = summed_rails().meters
    lacks = meter.model_copy(update={"rails": meter.rails[1:]})
    for update in ({"joules": None, "coverage": 0.0}, {}):
        run = summed_rails(meters=[lacks.model_copy(update=update)], energy=None)
        assert figures(run)["w_mean"] is None
        assert "power not measured" in headline(run)
    unsure = meter.model_copy(update={"joules": None, "coverage": 0.0})  # its rails were there, never at once
    assert figures(summed_rails(meters=[unsure], energy=None))["w_mean"] is None


def test_rails_that_nothing_is_known_of_are_no_sum() -> None:
    rails = [Rail(name=name, joules=10.0, mean_mw=1e3, min_mw=9e2, max_mw=2e3) for name in ("A", "B")]
    meter = Meter(
        name="hwmon", scope="rails", total=None, interval_ms=2, samples=9, missed=0, coverage=1.0,
        joules=None, rails=rails,
    )  # fmt: skip
    assert not [text for text in verdict(complete(meters=[meter], energy=None)).cautions if "sum of" in text]


def test_power_of_a_desktop_is_of_gpu_and_processor_together() -> None:
    run = desktop()
    assert run.energy
    found = figures(run)
    of_energy = run.energy.gross_mj / 1e3 * run.energy.frames / run.seconds
    assert found["w_mean"] == pytest.approx(of_energy)
    assert found["w_mean"] == pytest.approx(sum(meter.rails[0].mean_mw for meter in run.meters) / 1e3)
    assert run.timeline
    seconds = [(second.rails_mw["nvml/GPU"][1] + second.rails_mw["rapl/package-0"][1]) / 1e3
               for second in run.timeline.seconds]  # fmt: skip
    assert power_w(run) == pytest.approx(seconds)
    assert found["w_max"] == pytest.approx(max(seconds))
    few = [meter.model_copy(update={"coverage": 0.92}) for meter in run.meters]
    cautions = [text for text in verdict(desktop(meters=few)).cautions if "readings span 92 %" in text]
    assert [text.split(":")[0] for text in cautions] == ["nvml", "rapl"]


def test_no_throttle_event_says_how_many_counters_were_watched() -> None:
    assert findings(complete())["Heat"].endswith("; no throttle event (2 counters watched).")


def test_the_fan_stands_beside_the_heat_where_one_was_read() -> None:
    run = complete()
    assert run.timeline
    assert "; fan 1,216 to 3,556 rpm; no throttle" in findings(run)["Heat"]
    still = [second.model_copy(update={"fan_rpm": 0.0}) for second in run.timeline.seconds]
    assert (
        "; fan 0 to 0 rpm;" in findings(complete(timeline=run.timeline.model_copy(update={"seconds": still})))["Heat"]
    )
    none = [second.model_copy(update={"fan_rpm": None}) for second in run.timeline.seconds]
    assert "fan" not in findings(complete(timeline=run.timeline.model_copy(update={"seconds": none})))["Heat"]


def test_throttling_stands_in_the_sentence() -> None:
    found = verdict(throttled())
    assert found.headline.endswith("bound by the pace of 30 fps, throttled")
    assert any("a cooler one is faster" in caution for caution in found.cautions)


def test_no_frame_is_no_verdict() -> None:
    nothing = complete().latency.model_copy(update={"published": histogram(np.zeros(0)), "stages": {}})
    found = verdict(complete().model_copy(update={"latency": nothing, "fps": 0.0, "paced_fps": None}))
    assert "nothing to judge" in found.alarms[0]
    assert "latency not measured" in found.headline
    assert found.headline.endswith("stages not measured")


@pytest.mark.parametrize("coverage", [0.5, 0.999])
def test_gaps_of_a_meter_are_told(coverage: float) -> None:
    rail = Rail(name="VDD_IN", joules=10.0, mean_mw=1e3, min_mw=9e2, max_mw=2e3)
    meter = Meter(
        name="jtop", scope="module input", total="VDD_IN", interval_ms=500, samples=9, missed=9, coverage=coverage,
        joules=10.0, rails=[rail], remarks=["its service stopped after 5 s"],
    )  # fmt: skip
    cautions = verdict(record(seconds=70, meters=[meter], energy=None)).cautions
    assert any("readings span 50 %" in caution for caution in cautions) == (coverage == 0.5)
    assert "jtop: its service stopped after 5 s" in cautions


def test_stolen_time_is_told() -> None:
    run = record(seconds=60)
    assert run.timeline
    stolen = [second.model_copy(update={"steal": 0.2}) for second in run.timeline.seconds]
    noisy = run.model_copy(update={"timeline": run.timeline.model_copy(update={"seconds": stolen})})
    assert any("took 20 %" in caution for caution in verdict(noisy).cautions)
    assert not any("Another guest" in caution for caution in verdict(run).cautions)
