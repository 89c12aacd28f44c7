"""The page of a run in a real browser: nothing is fetched, the console stays silent, and every label is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import chromium
from records import complete, record, short_run, summed_rails, throttled
from selenium import webdriver
from selenium.webdriver.common.by import By

from runtime.report.compare import compare
from runtime.report.page import write_page
from runtime.report.result import Report


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "page.html"
    run = throttled()
    write_page(path, Report("run.json", run, compare(run, [("other.json", complete())])))
    return path


@pytest.fixture
def page(browser: webdriver.Chrome, written: Path) -> Iterator[webdriver.Chrome]:
    browser.get(written.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def media(browser: webdriver.Chrome, kind: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})


def test_it_opens_from_a_file_without_a_request(page: webdriver.Chrome) -> None:
    assert page.current_url.startswith("file://")
    requested = page.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert [name for name in requested if not name.startswith("data:")] == []
    assert page.find_element(By.TAG_NAME, "h1").text.startswith("29.9 fps, p99 21.4 ms, 76 misses in 600 s")


def test_ten_minutes_are_open_in_two_seconds(page: webdriver.Chrome) -> None:
    times_ms = [load_ms(page) for _ in range(3)]
    assert 0 < min(times_ms) < 2000


def load_ms(page: webdriver.Chrome) -> float:
    page.refresh()
    script = "const one = performance.getEntriesByType('navigation')[0]; return one.loadEventEnd - one.startTime"
    return float(page.execute_script(script))


OUTSIDE = """
return [...document.querySelectorAll("figure > svg")].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter(text => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1
      || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map(text => text.textContent);
})"""
COVERED = """
return [...document.querySelectorAll("figure > svg")].flatMap(svg => {
  const boxes = [...svg.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  return boxes.flatMap(([one, a], place) =>
    boxes.slice(place + 1).filter(([, b]) => meet(a, b)).map(([other]) => `${one} | ${other}`));
})"""
RUNS = {
    "whole": complete,
    "throttled": throttled,
    "summed rails": summed_rails,
    "short": short_run,
    "free-running": lambda: record(seconds=70, deadline_ms=None, paced_fps=None),
    "far deadline": lambda: record(seconds=70, deadline_ms=400.0),
    "hours": lambda: record(seconds=28_800, fps=1, step_s=10.0),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_label_is_inside_its_chart_and_covers_no_other(
    browser: webdriver.Chrome, tmp_path: Path, name: str
) -> None:
    write_page(tmp_path / "page.html", Report("run.json", RUNS[name]()))
    browser.get((tmp_path / "page.html").as_uri())
    assert browser.execute_script(OUTSIDE) == []
    assert browser.execute_script(COVERED) == []
    assert browser.get_log("browser") == []


SAME_INK = """
const line = getComputedStyle(document.querySelector("path.line.total"));
return line.stroke === getComputedStyle(document.body).color"""


@pytest.mark.parametrize(
    ("kind", "scheme", "dark"), [("screen", "light", 0), ("screen", "dark", 1), ("print", "dark", 0)]
)
def test_it_follows_the_scheme_but_paper_is_white(page: webdriver.Chrome, kind: str, scheme: str, dark: int) -> None:
    media(page, kind, scheme)
    try:
        colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        lines = page.execute_script(SAME_INK)
    finally:
        media(page, "screen", "light")
    assert (colour == "rgb(255, 255, 255)") == (not dark)
    assert lines


def test_tables_open_without_a_script(page: webdriver.Chrome) -> None:
    details = page.find_elements(By.CSS_SELECTOR, "figure details")
    assert len(details) == 5
    assert not details[1].find_element(By.TAG_NAME, "table").is_displayed()
    details[1].find_element(By.TAG_NAME, "summary").click()
    rows = details[1].find_elements(By.CSS_SELECTOR, "tbody tr")
    assert details[1].find_element(By.TAG_NAME, "table").is_displayed()
    assert len(rows) == 60


def test_it_fits_a_narrow_window(page: webdriver.Chrome) -> None:
    page.set_window_size(700, 900)
    try:
        wide = page.execute_script("return document.documentElement.scrollWidth - innerWidth")
    finally:
        page.set_window_size(1280, 1600)
    assert wide <= 0
