from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium

from runtime.profile.page import render, write_page
from runtime.profile.page.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, charts
from runtime.profile.summary import Row, Summary, with_front

HOSTILE = '<script>document.title = "owned"</script>'


def row(name: str, size: tuple[int, int], p50: float, energy: float | None, vif: float | None) -> Row:
    return Row(
        name=name, precision=name[:4], power_mode="15W", state="finished", file=f"{name}.json", size_px=size,
        compute="f16", frames=900, fps=1e3 / p50, p50_ms=p50, p99_ms=2 * p50, dropped=0, deadline_misses=0,
        energy_mj=energy, power_of=None if energy is None else "hwmon, module input",
        quality={} if vif is None else {"VIF": vif},
    )  # fmt: skip


def summary(*, power: bool = True, quality: bool = True) -> Summary:
    large, small = (640, 480), (320, 240)
    made = [
        ("int8-640x480", large, 4.0, 100.0, 0.8528), ("fp16-640x480", large, 6.0, 160.0, 0.8555),
        ("fp32-640x480", large, 12.0, 310.0, 0.8557), ("int8-320x240", small, 1.5, 40.0, 0.8528),
        (f"fp16-320x240 {HOSTILE}", small, 1.4, 60.0, 0.8500),
    ]  # fmt: skip
    rows = [row(name, size, p50, e if power else None, q if quality else None) for name, size, p50, e, q in made]
    rows.append(Row(name="dla", precision="int8", power_mode=None, state="failed", why="no DLA here"))
    metric = "VIF" if quality else None
    facts: dict[str, Any] = {"bundle": HOSTILE, "device": "orin-nx-16", "source": "simulated rig", "rules": ["A rule."]}
    return Summary(
        schema=1, **facts, duration_s=60, warm_up_s=6, paced_fps=None, latency_from="receive", metric=metric,
        rows=with_front(rows, metric),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("power", "quality", "names"),
    [
        (True, True, ["Latency and energy", "Latency and quality", "Energy and quality"]),
        (False, True, ["Latency and quality"]),
        (True, False, ["Latency and energy"]),
        (False, False, []),
    ],
)
def test_there_is_a_chart_for_what_was_measured(power: bool, quality: bool, names: list[str]) -> None:
    found = summary(power=power, quality=quality)
    assert [chart.name for chart in charts(found)] == names
    page = render(found)
    assert ("Power was not measured" in page) == (not power)
    assert ("nothing to chart" in page) == (not names)


def test_misses_without_a_deadline_are_a_dash() -> None:
    found = summary()
    free = found.model_copy(update={"rows": [row.model_copy(update={"deadline_misses": None}) for row in found.rows]})
    assert "None" not in render(free)
    assert "<td>0</td><td>-</td>" in render(free)


def test_points_lie_where_their_figures_are() -> None:
    for chart in charts(summary()):
        for point in chart.points:
            assert LEFT <= point.x <= WIDTH - RIGHT
            assert TOP <= point.y <= HEIGHT - BOTTOM
    first, *_ = charts(summary())
    by_name = {point.name: point for point in first.points}
    large = [by_name[f"{name}-640x480"] for name in ("int8", "fp16", "fp32")]
    assert large[0].x < large[1].x < large[2].x
    assert large[0].y > large[1].y > large[2].y  # down is less
    proportion = (large[1].x - large[0].x) / (large[2].x - large[0].x)
    assert proportion == pytest.approx((6 - 4) / (12 - 4), abs=0.01)
    assert {point.label for point in first.points} == {"int8 15W", "fp16 15W", "fp32 15W"}
    labels = [float(tick.label) for tick in first.x_ticks]
    assert labels == sorted(labels)
    assert labels[0] <= 1.4
    assert labels[-1] >= 12


def test_the_front_of_each_size_is_drawn_by_itself() -> None:
    energy, quality, _ = charts(summary())
    assert energy.series == ["640x480", "320x240"]
    assert {point.name for point in energy.points if point.front and point.series == 0} == {"int8-640x480"}
    assert len([point for point in energy.points if point.front and point.series == 1]) == 2
    assert len([point for point in quality.points if point.front and point.series == 0]) == 3


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    page = render(summary())
    assert re.findall(r'(?:src|href)="', page) == []
    assert "<script" not in page.replace("&lt;script", "")
    assert "http" not in re.sub(r'http-equiv="', "", page)
    assert "no DLA here" in page


def test_it_opens_in_a_browser_without_a_complaint(tmp_path: Path) -> None:
    write_page(path := tmp_path / "summary.html", summary())
    with chromium(tmp_path / "browser") as driver:
        driver.get(path.as_uri())
        assert driver.get_log("browser") == []
        assert driver.title.endswith("on orin-nx-16")
        assert len(driver.find_elements("css selector", "svg circle")) == 15
        colours = {
            each.value_of_css_property("stroke") for each in driver.find_elements("css selector", "svg circle")
        }  # fmt: skip
        assert len(colours) == 2
