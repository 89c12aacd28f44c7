"""The page of an evaluation in a real browser: it sorts, draws and filters, and its console stays silent."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import chromium
from evaluations import evaluation, without_pairs
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from edgefusion.metrics.fusion import METRICS
from runtime.evaluate.page import Thumbnails, write_page
from runtime.evaluate.page.numbers import MINUS

HOSTILE = '<script>document.title = "owned"</script>'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def square(side_px: int) -> str:
    """A picture known by its size."""
    stream = io.BytesIO()
    Image.new("L", (side_px, side_px)).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "page.html"
    thumbnails = {1: Thumbnails(square(10), square(11), [square(20 + entry) for entry in range(5)])}
    write_page(path, evaluation((HOSTILE, "other", "visible", "thermal", "mean"), 120), thumbnails=thumbnails)
    return path


@pytest.fixture
def page(browser: webdriver.Chrome, written: Path) -> Iterator[webdriver.Chrome]:
    browser.get(written.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def column(table: WebElement, place: int) -> list[str]:
    """What stands in a column, in one call of the browser."""
    script = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[arguments[1]].innerText.trim())"
    return list(table.parent.execute_script(script, table, place))


def numbers(table: WebElement, place: int) -> list[float]:
    return [float(text.split()[0].rstrip("~").replace(MINUS, "-")) for text in column(table, place)]


def heading(table: WebElement, metric: str) -> WebElement:
    return table.find_element(By.CSS_SELECTOR, f"th[data-metric='{metric}']")


def test_it_opens_from_a_file_without_a_request(page: webdriver.Chrome) -> None:
    assert page.current_url.startswith("file://")
    requested = page.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert [name for name in requested if not name.startswith("data:")] == []


def test_thumbnails_are_those_of_the_entries_chosen(page: webdriver.Chrome) -> None:
    page.find_element(By.NAME, "find").send_keys("00001")
    images = page.find_elements(By.CSS_SELECTOR, "#list img")
    widths = [
        page.execute_script("return arguments[0].decode().then(() => arguments[0].naturalWidth)", one) for one in images
    ]
    assert widths[:3] == [10, 11, 20]
    Select(page.find_element(By.NAME, "entry")).select_by_visible_text("mean")
    third = page.find_elements(By.CSS_SELECTOR, "#list img")[2]
    assert page.execute_script("return arguments[0].decode().then(() => arguments[0].naturalWidth)", third) == 24
    page.find_element(By.NAME, "find").send_keys(Keys.BACKSPACE, "5")
    assert not page.find_elements(By.CSS_SELECTOR, "#list img")
    assert "no thumbnail kept" in page.find_element(By.ID, "list").text


def test_a_heading_sorts_by_click_and_by_key(page: webdriver.Chrome) -> None:
    table = page.find_element(By.CSS_SELECTOR, "table.main")
    assert heading(table, "rank").get_attribute("aria-sort") == "ascending"
    assert numbers(table, 1) == sorted(numbers(table, 1))
    place = 2 + METRICS.index("SSIM")
    head = heading(table, "SSIM")
    head.find_element(By.TAG_NAME, "button").click()
    assert numbers(table, place) == sorted(numbers(table, place), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    assert heading(table, "rank").get_attribute("aria-sort") == "none"
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert numbers(table, place) == sorted(numbers(table, place))
    assert head.get_attribute("aria-sort") == "ascending"
    # Less is better: the first click puts the least on top.
    heading(table, "Nabf").find_element(By.TAG_NAME, "button").click()
    fooled = numbers(table, 2 + METRICS.index("Nabf"))
    assert fooled == sorted(fooled)


def test_day_and_night_change_the_figures(page: webdriver.Chrome) -> None:
    def seen() -> WebElement:
        tables = page.find_elements(By.CSS_SELECTOR, "table.main")
        shown = [table for table in tables if table.is_displayed()]
        assert len(shown) == 1
        return shown[0]

    whole = dict(zip(column(seen(), 0), numbers(seen(), 2), strict=True))
    page.find_element(By.CSS_SELECTOR, "#scenes [data-scene=night]").click()
    night = dict(zip(column(seen(), 0), numbers(seen(), 2), strict=True))
    assert night.keys() == whole.keys()
    assert night != whole
    assert "Night: 40 pairs" in seen().text
    assert "~" not in seen().find_element(By.TAG_NAME, "tbody").text  # tests are over all pairs


def test_curves_are_drawn_with_bands_and_follow_the_legend(page: webdriver.Chrome) -> None:
    def lines() -> list[str]:
        drawn = page.find_elements(By.CSS_SELECTOR, "[data-chart=px-SSIM] polyline")
        return [str(line.get_attribute("points")) for line in drawn]

    charts = page.find_elements(By.CSS_SELECTOR, "figure[data-chart]")
    assert len(charts) == 2 * (len(METRICS) + 1) + 1  # with AP50 in both sweeps, and flicker
    for chart in charts:
        assert chart.find_elements(By.CSS_SELECTOR, "polyline")
        assert chart.find_elements(By.CSS_SELECTOR, "text")
    before = lines()
    assert len(before) == 4  # stored images are not swept
    for points in before:
        across = [float(point.split(",")[0]) for point in points.split()]
        assert len(across) == 4
        assert across == sorted(across)
    assert len(page.find_elements(By.CSS_SELECTOR, "[data-chart=px-SSIM] polygon.band")) == 4
    page.find_element(By.CSS_SELECTOR, "[data-legend=px] [data-name=mean]").click()
    assert len(lines()) == 3
    assert len(page.find_elements(By.CSS_SELECTOR, "[data-chart=fog-SSIM] polyline")) == 4
    page.find_element(By.CSS_SELECTOR, "[data-legend=px] [data-name=mean]").click()
    assert lines() == before


def test_flicker_breaks_where_the_scene_changes(page: webdriver.Chrome) -> None:
    drawn = page.find_elements(By.CSS_SELECTOR, "[data-chart=flicker] polyline")
    assert len(drawn) == 2 * 4
    assert sum(len(str(line.get_attribute("points")).split()) for line in drawn) == 119 * 4


def test_dots_and_whiskers(page: webdriver.Chrome) -> None:
    for name, rows in (("ap50", 4), ("against-visible", 3), ("flicker", 4), ("collisions-0", 4), ("collisions-1", 4)):
        assert len(page.find_elements(By.CSS_SELECTOR, f"[data-forest={name}] .whisker")) == rows
    braking = page.execute_script("return page.margins[1].rows")
    crashes = sum(margin < 0 for row in braking for _, margin, *_ in row["runs"])
    assert len(page.find_elements(By.CSS_SELECTOR, "[data-margins='1'] .crash")) == crashes > 0


def test_pairs_are_listed_worst_first_by_any_metric_of_any_entry(page: webdriver.Chrome) -> None:
    table = page.find_element(By.ID, "list")
    choose = {name: Select(page.find_element(By.NAME, name)) for name in ("entry", "rival", "metric", "scene")}
    assert choose["metric"].first_selected_option.get_attribute("value") == "Qabf"
    assert numbers(table, 6) == sorted(numbers(table, 6))
    before = column(table, 0)
    choose["metric"].select_by_value("Nabf")
    assert column(table, 0) != before
    assert numbers(table, 6) == sorted(numbers(table, 6), reverse=True)
    assert table.find_element(By.CSS_SELECTOR, "[data-key=entry]").get_attribute("aria-sort") == "descending"
    by_first = numbers(table, 6)
    choose["entry"].select_by_visible_text("other")
    assert numbers(table, 6) != by_first
    table.find_element(By.CSS_SELECTOR, "[data-key=difference] button").click()
    assert numbers(table, 8) == sorted(numbers(table, 8), reverse=True)
    assert len(column(table, 0)) == 50
    page.find_element(By.ID, "more").click()
    assert len(column(table, 0)) == 100
    choose["scene"].select_by_value("night")
    assert set(column(table, 1)) == {"night"}
    assert page.find_element(By.ID, "count").text == "40 of 40 pairs"
    page.find_element(By.NAME, "find").send_keys("00003")
    assert page.find_element(By.ID, "count").text == "1 of 1 pairs"


def test_all_figures_of_a_pair_open_and_close(page: webdriver.Chrome) -> None:
    button = page.find_element(By.CSS_SELECTOR, "#list tbody button")
    button.click()
    inner = page.find_element(By.CSS_SELECTOR, "#list td.all table")
    assert column(inner, 0) == [HOSTILE, "other", "visible", "thermal", "mean"]
    button.click()
    assert not page.find_elements(By.CSS_SELECTOR, "#list td.all")


def test_a_hostile_name_runs_nothing(page: webdriver.Chrome) -> None:
    assert page.title == "Fused images compared: made up"
    names = column(page.find_element(By.CSS_SELECTOR, "table.main"), 0)
    assert any(name.startswith(HOSTILE) for name in names)


def test_a_page_without_pairs_works(browser: webdriver.Chrome, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", without_pairs(evaluation()))
    browser.get((tmp_path / "page.html").as_uri())
    assert browser.find_elements(By.CSS_SELECTOR, "[data-margins='0'] circle")
    assert browser.get_log("browser") == []


def test_it_fits_a_narrow_window(page: webdriver.Chrome) -> None:
    page.find_element(By.CSS_SELECTOR, "#list tbody button").click()
    page.set_window_size(700, 900)
    try:
        wide = page.execute_script("return document.documentElement.scrollWidth - innerWidth")
    finally:
        page.set_window_size(1280, 1600)
    assert wide <= 0
