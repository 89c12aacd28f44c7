from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from records import complete, desktop, histogram, killed, record, short_run, summed_rails, throttled, without_power

from runtime.report.compare import compare
from runtime.report.gates import judge, parse_gate
from runtime.report.page import render
from runtime.report.result import Report
from runtime.report.schema import Engine, RunRecord, Timeline

HOSTILE = '"><script>alert(1)</script><img src="http://evil/x.png" onerror=alert(2)>&amp;\'{{ 7*7 }}'
KINDS = [complete, killed, without_power, summed_rails, desktop, throttled, short_run]


class Page(HTMLParser):
    """Elements with their attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(run: RunRecord, **more: object) -> Page:
    return Page(render(Report("run.json", run, **more)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_makes_a_page(kind) -> None:
    found = page(kind())
    assert not {"script", "link", "img", "iframe"} & {
        tag for tag, facts in found.elements if facts.get("rel") != "icon"
    }
    assert not [facts for _, facts in found.elements if "style" in facts or any(key.startswith("on") for key in facts)]
    assert "nan" not in re.findall(r"\w+", found.text.lower())
    for tag, facts in found.elements:
        if tag == "path":
            assert "nan" not in (facts["d"] or "")


@pytest.mark.parametrize("p50_ms", [None, 0.0])
def test_a_timeline_without_a_median_makes_a_page(p50_ms: float | None) -> None:
    run = complete()
    assert run.timeline
    seconds = [second.model_copy(update={"p50_ms": p50_ms}) for second in run.timeline.seconds]
    assert "Latency over time" in page(run.model_copy(update={"timeline": Timeline(step_s=1, seconds=seconds)})).text


def test_figures_too_small_to_be_any_make_no_roofline() -> None:
    engine = complete().engine.model_copy(update={"gmacs": 1e-300, "moved_mb": 1e-300})
    assert "Unknown: the model's operations, the bytes it moves." in page(complete(engine=engine)).text


def test_each_meter_of_a_desktop_has_its_panel_of_power() -> None:
    found = page(desktop()).text
    assert found.count("power, W (GPU board)") == found.count("power, W (package)") == 1
    assert "total: GPU (nvml)" in found
    assert "total: package-0 (rapl)" in found
    assert "Power, temperatures, fan, clocks and load over time" in found


def test_charts_are_named_and_have_axes_units_legends_and_tables() -> None:
    found = page(throttled())
    charts = [facts for tag, facts in found.elements if tag == "svg" and facts.get("role") == "img"]
    assert len(charts) == 5
    assert all(facts["aria-label"] for facts in charts)
    for words in (
        "latency from exposure to published, ms (log scale)", "frames per bar (log scale)", "latency, ms",
        "time since the start, min", "power, W (module input)", "temperatures, °C", "fan, rpm", "clocks, MHz",
        "load, processors", "time per frame, ms",
        "operations per byte (log scale)", "operations per second, T (log scale)",
        "p99 of each second", "total: VDD_IN (hwmon)", "rest of VDD_IN", "deadline 33.3", "frames, n = 17,929",
        "Latency over time as a table", "dense peak 30.1 TOPS (int8)",
    ):  # fmt: skip
        assert words in found.text
    assert [facts for tag, facts in found.elements if facts.get("class") == "throttle-head"]
    assert not [facts for _, facts in page(complete()).elements if facts.get("class") == "throttle-head"]


def test_the_machine_lists_what_throttling_is_counted_by() -> None:
    assert "throttle counters oc1 (over-current), thermal" in page(complete()).text
    assert "throttle counters none" in page(complete(timeline=None)).text


def test_what_was_not_measured_is_said_and_never_zero() -> None:
    found = page(
        without_power(timeline=None, engine=Engine(device="cpu", backend="openvino", precision="fp32", compute="f32"))
    )
    for words in (
        "Power was not measured: no meter was found. That is not 0 W.", "Latency over time was not recorded.",
        "Unknown: the device's dense peak, its memory bandwidth, the model's operations, the bytes it moves.",
        "The backend told nothing of its layers.", "Not measured: no meter was found.",
    ):  # fmt: skip
        assert words in found.text
    assert " 0 W " not in found.text.replace("not 0 W", "")


def test_a_record_without_anything_measured_is_a_page_that_says_so() -> None:
    nothing = histogram(np.zeros(0))
    latency = complete().latency.model_copy(update={"published": nothing, "stages": {}, "interval": None, "skew": None})
    counts = complete().counts.model_copy(update={"cameras": {}, "dropped": {}, "flagged": {}})
    run = without_power(
        latency=latency, timeline=None, counts=counts, command=[], quality={}, paced_fps=None, energy=None
    )
    found = page(run.model_copy(update={"fps": 0.0}))
    for words in (
        "No latency was measured",
        "Stages were not measured.",
        "No live camera",
        "The command was not recorded.",
    ):
        assert words in found.text


def test_the_scope_of_power_and_the_estimate_are_labelled() -> None:
    found = page(summed_rails())
    assert "power, W (sum of rails)" in found.text
    assert "total: sum of rails, no rail is one (hwmon)" in found.text
    assert "sum of 4 rails" in found.text
    assert "stage (estimate by time share)" in found.text


def test_a_killed_run_is_marked_above_its_verdict() -> None:
    words = page(killed()).text
    assert words.index("The end of this run was") < words.index("Unfinished run: 30", words.index("edgefusion report"))


def test_hidden_percentiles_are_explained_by_the_chart() -> None:
    found = page(short_run())
    assert "p99 and p99.9 are hidden: too few frames lie beyond." in found.text
    assert "n = 120" in found.text


def test_names_from_outside_stay_text() -> None:
    run = complete(rig=HOSTILE, source=HOSTILE, bundle=HOSTILE, student=HOSTILE, outputs=[HOSTILE], command=[HOSTILE])
    run = run.model_copy(update={"remarks": [HOSTILE], "quality": {HOSTILE: HOSTILE}})
    counts = run.counts.model_copy(
        update={"cameras": {HOSTILE: {HOSTILE: {"a": HOSTILE}}}, "dropped": {HOSTILE: 3}, "flagged": {HOSTILE: 1}}
    )
    assert run.timeline
    seconds = [
        one.model_copy(update={"rails_mw": {f"hwmon/{HOSTILE}": (1, 2, 3)}, "temperatures_c": {HOSTILE: 50.0},
                               "throttled": {HOSTILE: 1}})
        for one in run.timeline.seconds
    ]  # fmt: skip
    rails = [rail.model_copy(update={"name": HOSTILE}) for rail in run.meters[0].rails[:1]]
    meter = run.meters[0].model_copy(update={"rails": rails, "total": HOSTILE, "remarks": [HOSTILE]})
    layers = [{"name": HOSTILE, "kind": HOSTILE}]
    hostile = run.model_copy(
        update={"counts": counts, "timeline": run.timeline.model_copy(update={"seconds": seconds}), "meters": [meter],
                "engine": run.engine.model_copy(update={"device": HOSTILE, "layers": layers}),
                "latency": run.latency.model_copy(update={"stages": {HOSTILE: run.latency.published}})}
    )  # fmt: skip
    html = render(
        Report(HOSTILE, hostile, compare(hostile, [(HOSTILE, hostile)]), judge(hostile, [parse_gate("fps>1")]))
    )
    found = Page(html)
    assert not {"script", "img"} & {tag for tag, _ in found.elements}
    assert not [facts for _, facts in found.elements if any(key.startswith("on") for key in facts)]
    assert "{{ 7*7 }}" in html
    assert found.words.count(HOSTILE) > 5  # as text, letter by letter


def test_the_policy_allows_our_style_alone() -> None:
    html = render(Report("run.json", complete()))
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in html.replace("&#39;", "'")
    assert not re.findall(r"https?://", html)


def test_comparisons_and_gates_are_on_the_page() -> None:
    run, other = complete(), record(seed=5, slower=1.08, width=640)
    gates = judge(run, [parse_gate("p99_ms>20"), parse_gate("misses>0")])
    found = page(run, comparisons=compare(run, [("slower.json", other)]), gates=gates)
    assert "size differs: 640x720 here, 1280x720 in the first run." in found.text
    assert "share of frames per step, % (log scale)" in found.text
    assert {"passed", "failed"} <= {facts.get("class") for tag, facts in found.elements if tag == "li"}
    assert "worse" in {facts.get("class") for tag, facts in found.elements if tag == "td"}


def test_a_long_run_is_thinned_and_says_so() -> None:
    found = page(record(seconds=28_800, fps=1, step_s=10.0))
    assert "time since the start, h" in found.text
    assert "Each point stands for 50 s" in found.text
    assert sum(len(facts["d"] or "") for tag, facts in found.elements if tag == "path") < 200_000


def test_gaps_in_time_break_lines() -> None:
    run = record(seconds=100)
    assert run.timeline
    kept = [one for one in run.timeline.seconds if not 40 < one.t_s < 60]
    broken = run.model_copy(update={"timeline": run.timeline.model_copy(update={"seconds": kept})})

    def moves(found: Page) -> int:
        (line,) = [facts["d"] or "" for tag, facts in found.elements if facts.get("class") == "line thick s0"]
        return line.count("M")

    assert (moves(page(run)), moves(page(broken))) == (1, 2)
